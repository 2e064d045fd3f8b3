import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { linkSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { createLockOwner } from './file-lock.ts'
import { identifyThisProcess } from './process-identity.ts'

const root = mkdtempSync(join(tmpdir(), 'baton-locks-'))
afterAll(() => rmSync(root, { recursive: true }))

function newFolder(): string {
  return mkdtempSync(join(root, 'locks-'))
}

/** A process that runs some code with an owner of locks, and says `ready` when it has come to the end of it. */
async function startOwner(folder: string, code: string): Promise<ChildProcess> {
  const url = new URL('file-lock.ts', import.meta.url)
  const program = `import { createLockOwner } from ${JSON.stringify(url.href)}
    const owner = createLockOwner(${JSON.stringify(folder)})
    ${code}
    process.stdout.write('ready')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return child
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

describe('createLockOwner', () => {
  it('gives a lock to one owner at a time', async () => {
    const folder = newFolder()
    const [first, second] = [createLockOwner(folder), createLockOwner(folder)]
    expect(first.tryAcquire('a.lock')).toBe(true)
    expect(second.tryAcquire('a.lock')).toBe(false)
    expect(second.tryAcquire('b.lock')).toBe(true)
    const waiting = second.acquire('a.lock')
    first.release('a.lock')
    await waiting
    expect(first.tryAcquire('a.lock')).toBe(false)
  })

  it('leaves nothing behind when it is closed', async () => {
    const folder = newFolder()
    const owner = createLockOwner(folder)
    await owner.acquire('a.lock')
    owner.release('a.lock')
    owner.close()
    expect(readdirSync(folder)).toEqual([])
  })

  // Faster than the 10 seconds after which a lock of an unknown owner counts as stale.
  it('takes over the lock of a process that was killed, at once', { timeout: 8000 }, async () => {
    const folder = newFolder()
    await kill(await startOwner(folder, `owner.tryAcquire('a.lock')`))
    expect(readdirSync(folder)).toContain('a.lock')
    const owner = createLockOwner(folder)
    await owner.acquire('a.lock')
    expect(JSON.parse(readFileSync(join(folder, 'a.lock'), 'utf8'))).toMatchObject({ pid: process.pid })
  })

  it('takes over a lock whose process id went to another process', { timeout: 8000 }, async () => {
    const folder = newFolder()
    writeFileSync(join(folder, 'a.lock'), JSON.stringify({ ...identifyThisProcess(), started: '1' }))
    await createLockOwner(folder).acquire('a.lock')
  })

  it('takes over when the one who was taking over was killed as well', { timeout: 8000 }, async () => {
    const folder = newFolder()
    const owner = createLockOwner(folder)
    await owner.acquire('other.lock')
    const dead = { ...identifyThisProcess(), started: '1' }
    writeFileSync(join(folder, 'a.lock'), JSON.stringify(dead))
    const guard = join(folder, `a.lock.takeover.${dead.nonce}`)
    const alsoDead = { ...identifyThisProcess(), started: '1' }
    writeFileSync(guard, JSON.stringify(alsoDead))
    writeFileSync(`${guard}.takeover.${alsoDead.nonce}`, JSON.stringify({ ...identifyThisProcess(), started: '1' }))
    await owner.acquire('a.lock')
    expect(readdirSync(folder).filter((name) => name.includes('takeover'))).toEqual([])
  })

  it('sweeps what dead processes left behind when it first takes a lock', async () => {
    const folder = newFolder()
    await kill(await startOwner(folder, `owner.tryAcquire('a.lock')`))
    const living = await startOwner(folder, `owner.tryAcquire('b.lock')`)
    const owner = createLockOwner(folder)
    await owner.acquire('c.lock')
    owner.release('c.lock')
    owner.close()
    const left = readdirSync(folder)
    expect(left).toHaveLength(2)
    expect(left).toContain('b.lock')
    await kill(living)
  })

  it('waits for a living process, and gives up naming it', async () => {
    const folder = newFolder()
    const holder = await startOwner(folder, `owner.tryAcquire('a.lock')`)
    const owner = createLockOwner(folder, { unchangedMs: 1, patienceMs: 100 })
    await expect(owner.acquire('a.lock')).rejects.toMatchObject({ code: 'STORE_FAILED', details: { pid: holder.pid } })
    expect(readdirSync(folder)).toContain('a.lock')
    await kill(holder)
    await owner.acquire('a.lock')
  })

  for (const [what, content] of [
    ['on another machine', JSON.stringify({ ...identifyThisProcess(), machine: 'elsewhere' })],
    ['in another container', JSON.stringify({ ...identifyThisProcess(), pidNamespace: 'pid:[1]' })],
    ['that did not say who it is', ''],
  ] as const) {
    it(`takes over the lock of an owner ${what} only when it has not changed for a while`, async () => {
      const folder = newFolder()
      const hasty = createLockOwner(folder, { unchangedMs: 60_000, patienceMs: 50 })
      await hasty.acquire('other.lock')
      writeFileSync(join(folder, 'a.lock'), content)
      await expect(hasty.acquire('a.lock')).rejects.toMatchObject({ code: 'STORE_FAILED' })
      await createLockOwner(folder, { unchangedMs: 50 }).acquire('a.lock')
    })
  }

  it('does not remove a lock that was taken over from it', async () => {
    const folder = newFolder()
    const slow = createLockOwner(folder, { unchangedMs: 0 })
    await slow.acquire('a.lock')
    rmSync(join(folder, 'a.lock'))
    const next = createLockOwner(folder)
    await next.acquire('a.lock')
    slow.release('a.lock')
    expect(createLockOwner(folder).tryAcquire('a.lock')).toBe(false)
  })

  it('takes a lock after its folder was removed', async () => {
    const folder = newFolder()
    const owner = createLockOwner(folder)
    await owner.acquire('a.lock')
    rmSync(folder, { recursive: true })
    await owner.acquire('a.lock')
    expect(readdirSync(folder)).toContain('a.lock')
  })

  it('takes locks where no more hard links can be made', { timeout: 60_000 }, async (context) => {
    const folder = newFolder()
    const links = mkdtempSync(join(root, 'links-'))
    const owner = createLockOwner(folder)
    await owner.acquire('first.lock')
    try {
      for (let count = 0; count < 70_000; count++) linkSync(join(folder, 'first.lock'), join(links, String(count)))
      context.skip('this file system allows any number of hard links')
    } catch (error) {
      expect(error).toMatchObject({ code: 'EMLINK' })
    }
    await owner.acquire('a.lock')
    expect(createLockOwner(folder).tryAcquire('a.lock')).toBe(false)
    owner.release('a.lock')
    expect(createLockOwner(folder).tryAcquire('a.lock')).toBe(true)
  })

  it('never lets two processes in, also while all of them take over from dead ones', { timeout: 60_000 }, async () => {
    const folder = newFolder()
    const shared = join(root, 'shared')
    // A holder writes its id, looks whether it is still there a turn later, and counts: any overlap loses a count or finds another id.
    // Instead of releasing the lock it then leaves one as a process would that died right now.
    const code = `
      import { randomBytes } from 'node:crypto'
      import { readFileSync, renameSync, writeFileSync } from 'node:fs'
      const [file, lock, dead] = ${JSON.stringify([shared, join(folder, 'a.lock'), join(root, 'dead-')])}
      for (let round = 0; round < 100; round++) {
        await owner.acquire('a.lock')
        const count = Number(readFileSync(file, 'utf8'))
        writeFileSync(file, 'in use by ' + process.pid)
        await new Promise(setImmediate)
        if (readFileSync(file, 'utf8') !== 'in use by ' + process.pid) throw new Error('someone else came in')
        writeFileSync(file, String(count + 1))
        const nonce = randomBytes(8).toString('hex')
        writeFileSync(dead + process.pid, JSON.stringify({ ...JSON.parse(readFileSync(lock, 'utf8')), started: '1', nonce }))
        renameSync(dead + process.pid, lock)
      }
      owner.close()
      process.stdout.write('done')
      process.exit()`
    writeFileSync(shared, '0')
    const children = await Promise.all([1, 2, 3].map(() => startOwner(folder, code)))
    const codes = await Promise.all(children.map(async (child) => child.exitCode ?? (await once(child, 'exit'))[0]))
    expect(codes).toEqual([0, 0, 0])
    expect(readFileSync(shared, 'utf8')).toBe('300')
  })
})
