import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { createLocalSandboxProvider } from '../sandbox/local-sandbox.ts'
import { fsPath } from '../sandbox/path-bytes.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { removeEmptyFolders, removeFiles } from './remove-files.ts'

const required = process.env.BATON_REQUIRE?.split(',') ?? []
const sha256 = (content: string): string => createHash('sha256').update(content).digest('hex')
const shells = [
  { name: 'bash', argv: ['bash'] },
  { name: 'dash', argv: ['dash'] },
  { name: 'busybox', argv: ['busybox', 'sh'] },
]

/** A sandbox whose commands run in another shell. */
async function withShell(argv: readonly string[], run: (sandbox: Sandbox) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'baton-remove-'))
  const sandbox = await createLocalSandboxProvider({ isolation: 'none', root }).create({})
  try {
    await run({
      ...sandbox,
      spawn: (command, options) => sandbox.spawn(typeof command === 'string' ? [...argv, '-c', command] : command, options),
    })
  } finally {
    await sandbox.close()
    rmSync(root, { recursive: true, force: true })
  }
}

for (const { name, argv } of shells) {
  const absent = spawnSync(argv[0]!, [...argv.slice(1), '-c', 'exit 0']).status !== 0
  describe.skipIf(absent && !required.includes(name))(`removeFiles in ${name}`, () => {
    it('removes files and links with any name, and folders that are empty', () =>
      withShell(argv, async (sandbox) => {
        const paths = ['-rf', 'a b', "it's", 'new\nline\n', 'bad\udcff', '$(touch x)', '\\n%s', 'dir/in\n/ü', 'dir/keep/x']
        for (const path of paths) {
          mkdirSync(join(sandbox.workdir, path, '..'), { recursive: true })
          writeFileSync(fsPath(`${sandbox.workdir}/${path}`), 'x')
        }
        writeFileSync(join(sandbox.workdir, 'dir/keep/y'), 'y')
        symlinkSync('to\n', join(sandbox.workdir, 'link\n'))
        const removals = [
          ...paths.map((path) => ({ path, sha256: sha256('x') })),
          { path: 'link\n', sha256: '', target: Buffer.from('to\n') },
        ]
        expect(await removeFiles(sandbox, removals)).toEqual([])
        await removeEmptyFolders(sandbox, ['dir', 'dir/in\n', 'dir/keep'])
        expect(readdirSync(sandbox.workdir, { recursive: true })).toEqual(['dir', 'dir/keep', 'dir/keep/y'])
      }))

    it('leaves what is not as expected, and what comes after it', () =>
      withShell(argv, async (sandbox) => {
        const at = (path: string): string => join(sandbox.workdir, path)
        for (const path of ['a', 'b', 'c']) writeFileSync(at(path), path)
        symlinkSync('a', at('l'))
        const a = { path: 'a', sha256: sha256('a') }
        expect(await removeFiles(sandbox, [a, { path: 'b', sha256: sha256('other') }, { path: 'c', sha256: sha256('c') }])).toEqual(['b'])
        expect(readdirSync(sandbox.workdir).sort()).toEqual(['b', 'c', 'l'])
        expect(await removeFiles(sandbox, [{ path: 'l', sha256: '', target: Buffer.from('other') }])).toEqual(['l'])
        expect(await removeFiles(sandbox, [{ path: 'l', sha256: sha256('a') }])).toEqual(['l'])
        expect(await removeFiles(sandbox, [{ path: 'b', sha256: sha256('b') }, a], { checkFirst: true })).toEqual(['a'])
        expect(readdirSync(sandbox.workdir).sort()).toEqual(['b', 'c', 'l'])
      }))

    it('removes nothing through a folder that has become a link, wherever that leads', () =>
      withShell(argv, async (sandbox) => {
        const outside = mkdtempSync(join(tmpdir(), 'baton-outside-'))
        try {
          for (const dir of [outside, join(sandbox.workdir, 'inside'), join(outside, 'sub')]) mkdirSync(dir, { recursive: true })
          for (const dir of [outside, join(sandbox.workdir, 'inside')]) writeFileSync(join(dir, 'x'), 'x')
          for (const target of [outside, 'inside']) {
            symlinkSync(target, join(sandbox.workdir, 'dir'))
            expect(await removeFiles(sandbox, [{ path: 'dir/x', sha256: sha256('x') }])).toEqual(['dir/x'])
            await removeEmptyFolders(sandbox, ['dir/sub', 'dir'])
            expect([existsSync(join(outside, 'x')), existsSync(join(outside, 'sub')), existsSync(join(sandbox.workdir, 'dir/x'))]).toEqual([
              true,
              true,
              true,
            ])
            rmSync(join(sandbox.workdir, 'dir'))
          }
        } finally {
          rmSync(outside, { recursive: true })
        }
      }))

    it(
      'removes more than fits into one command',
      () =>
        withShell(argv, async (sandbox) => {
          const removals = Array.from({ length: 250 }, (_, at) => ({ path: `${'long'.repeat(30)}${at}`, sha256: sha256(`${at}`) }))
          for (const [at, { path }] of removals.entries()) writeFileSync(join(sandbox.workdir, path), `${at}`)
          expect(await removeFiles(sandbox, removals)).toEqual([])
          expect(readdirSync(sandbox.workdir)).toEqual([])
        }),
      60_000,
    )
  })
}

describe('removeFiles', () => {
  it('rejects where the sandbox has no shell that does it', () =>
    withShell(['false'], async (sandbox) => {
      writeFileSync(join(sandbox.workdir, 'x'), 'x')
      await expect(removeFiles(sandbox, [{ path: 'x', sha256: sha256('x') }])).rejects.toMatchObject({ code: 'SANDBOX_FAILED' })
    }))
})
