import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Actor } from '../events/envelope.ts'
import type { Ledger, LedgerFile, LedgerStage } from '../ledger/ledger.ts'

/** Who makes the commits of a test. */
export const coder: Actor = { kind: 'agent', id: 'coder', name: 'Coder' }

/** What one side of a test says should be at a path. */
export interface ModelFile {
  readonly mode: LedgerFile['mode']
  readonly content: string
}

/** `BATON_REQUIRE=git` runs tests that need git even where it is missing, and so fails them. */
export const lacksGit = spawnSync('git', ['--version']).status !== 0 && !process.env.BATON_REQUIRE?.split(',').includes('git')

/** Runs git on a ledger, without anything that the machine configures. */
export function git(dir: string, ...args: string[]): { status: number | null; output: Buffer; errors: string } {
  const env = { PATH: process.env.PATH, GIT_CONFIG_NOSYSTEM: '1', HOME: '/nonexistent', GIT_DIR: dir, TZ: 'UTC' }
  const { status, stdout, stderr } = spawnSync('git', args, { env, maxBuffer: 1e9 })
  return { status, output: stdout, errors: stderr.toString() }
}

/** Fails where git finds something wrong. */
export function expectClean(dir: string): void {
  const { status, output, errors } = git(dir, 'fsck', '--strict', '--full', '--no-progress', '--no-dangling')
  const complaints = (output.toString() + errors).split('\n').filter((line) => line !== '' && !line.startsWith('notice:'))
  assert.deepEqual({ status, complaints }, { status: 0, complaints: [] })
}

/** The names of the packs that have an index. */
export function packsOf(dir: string): string[] {
  return readdirSync(join(dir, 'objects', 'pack')).filter((name) => name.endsWith('.idx'))
}

/** A stage of text files; null where one is to go. */
export function stageOf(ledger: Ledger, files: Readonly<Record<string, string | null>>, message = 'change'): LedgerStage {
  const put = (content: string | null): LedgerFile | undefined => (content === null ? undefined : ledger.put(Buffer.from(content)))
  return { author: coder, message, files: new Map(Object.entries(files).map(([path, content]) => [path, put(content)])) }
}

/** Everything that a commit holds. */
export async function stateOf(ledger: Ledger, commit: string): Promise<Map<string, ModelFile>> {
  const state = new Map<string, ModelFile>()
  for (const [path, file] of await ledger.files(commit)) {
    state.set(path, { mode: file.mode, content: Buffer.from(await ledger.read(file)).toString('latin1') })
  }
  return state
}

/** Paths with the content of the text files that a commit holds. */
export async function textsOf(ledger: Ledger, commit: string): Promise<Record<string, string>> {
  return Object.fromEntries(Array.from(await stateOf(ledger, commit), ([path, { content }]) => [path, content]))
}
