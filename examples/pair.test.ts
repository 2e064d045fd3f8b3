import { describe, expect, it } from 'vitest'
import { runExample, temporaryFolder } from './testing/run-example.ts'

describe('examples/pair.ts', () => {
  it('hands over to a person in the middle and goes on from what they did', async () => {
    const { code, stdout, stderr } = await runExample('pair.ts', { cwd: temporaryFolder(), env: { HOME: temporaryFolder() } })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^the agent asks: What does an empty list cost\?\n/)
    expect(stdout).toContain('Alice says: I have added the rounding. Keep it.')
    expect(stdout).toContain('+export const total = (prices) => prices.reduce((sum, price) => sum + Math.round(price * 100) / 100)')
    expect(stdout).toContain('- Alice: node price.test.mjs; exit → exit code 1')
    expect(stdout).toContain('done: An empty list costs nothing now, and what you wrote is still there.')
    expect(stdout).toMatch(/price\.mjs changed by Alice \(lease\)\nprice\.mjs changed by coder \(tool\)\n$/)
  })
})
