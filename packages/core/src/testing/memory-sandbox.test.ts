import { describe, expect, it } from 'vitest'
import { exec } from '../sandbox/exec.ts'
import { createMemorySandboxProvider } from './memory-sandbox.ts'
import { testSandboxProvider } from './test-sandbox-provider.ts'

describe('createMemorySandboxProvider', () => {
  testSandboxProvider(it, {
    provider: () => createMemorySandboxProvider(),
    can: { shell: false, signals: false },
    unsupported: [
      { inPlace: '/tmp' },
      { image: 'x' },
      { user: 'x' },
      { isolation: 'process' },
      { network: 'none' },
      { resources: { cpus: 1 } },
    ],
  })

  it('runs scripted commands, by the whole of a string before the name', async () => {
    const provider = createMemorySandboxProvider({
      files: { 'src/a.ts': 'one' },
      commands: {
        'npm test': async ({ stdout, files }) => {
          await stdout(`testing ${files.list().join()}\n`)
          return files.read('src/a.ts')?.toString() === 'two' ? 0 : 1
        },
        npm: async ({ argv, stderr, env }) => {
          await stderr(`${argv.join('|')} ${env.CI}`)
          return undefined
        },
        '*': ({ command }) => (command === 'anything else' ? 42 : 43),
      },
    })
    const sandbox = await provider.create({})
    expect(await exec(sandbox, 'npm test')).toMatchObject({ exit: { reason: 'exited', code: 1 }, stdout: 'testing src/a.ts\n' })
    expect(await exec(sandbox, `npm "run it" a\\ b 'c "d"' e"f"`)).toMatchObject({ exit: { code: 0 }, stderr: 'npm|run it|a b|c "d"|ef 1' })
    expect((await exec(sandbox, 'anything else')).exit.code).toBe(42)
    expect((await exec(sandbox, 'constructor')).exit.code).toBe(43)
    await sandbox.close()
  })

  it('ends a command that throws with 1 and its message', async () => {
    const fail = () => {
      throw new Error('broken')
    }
    const sandbox = await createMemorySandboxProvider({ commands: { fail } }).create({})
    expect(await exec(sandbox, ['fail'])).toMatchObject({ exit: { code: 1 }, stderr: 'broken\n' })
  })
})
