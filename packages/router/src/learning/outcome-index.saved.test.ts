import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createOutcomeIndex } from './outcome-index.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'baton-outcomes-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

async function filled(count = 60) {
  const index = createOutcomeIndex({ minOutcomes: 10 })
  for (let at = 0; at < count; at++) {
    const text = at % 2 ? `Prove theorem number ${at} of algebra.` : `Translate sentence number ${at} to French.`
    await index.add({ text, model: 'small', success: at % 2 === 0 }, { text, model: 'large', success: true })
  }
  return index
}

describe('createOutcomeIndex, saved', () => {
  it('estimates the same after it was loaded', async () => {
    const index = await filled()
    const path = join(folder, 'outcomes')
    await index.save(path)
    const loaded = createOutcomeIndex({ minOutcomes: 10 })
    await loaded.load(path)
    expect(loaded.size).toBe(index.size)
    for (const text of ['Prove theorem number 7 of algebra.', 'Translate this to French.']) {
      expect(await loaded.estimate(text)).toEqual(await index.estimate(text))
    }
  })

  it('refuses a file that is cut off or changed at any place, and keeps what it holds', async () => {
    const path = join(folder, 'outcomes')
    await (await filled()).save(path)
    const whole = readFileSync(path)
    const index = await filled(20)
    for (let at = 0; at < whole.length; at += Math.ceil(whole.length / 40)) {
      const changed = Buffer.from(whole)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x55, at)
      for (const content of [whole.subarray(0, at), changed]) {
        writeFileSync(path, content)
        await expect(index.load(path)).rejects.toMatchObject({ code: 'CORRUPT_FILE' })
      }
    }
    expect(index.size).toBe(20)
  })

  it('says that there is no file', async () => {
    await expect(createOutcomeIndex().load(join(folder, 'nothing'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })
})
