import { createHash } from 'node:crypto'
import { BatonError } from '../errors.ts'
import type { EventDraft } from '../events/event.ts'
import type { Ledger, LedgerFile, WorkspaceLook } from '../ledger/ledger.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { diffTexts } from '../workspace/file-diff.ts'
import { decodeText } from '../workspace/text-hunks.ts'
import type { FoundWrite, PathState, PathWindow } from './attribution.ts'
import { labelOf } from './labels.ts'
import type { TaskRuntime } from './runtime.ts'
import type { RecordedChange } from './task-state.ts'

/** Longest difference in an event. */
const maxDiffBytes = 64 * 1024

/** The paths that are different, and those that were written and are as before. */
export async function windowsOf({ ledger, sandbox, base, look, recorded, noted }: Window): Promise<PathWindow[]> {
  const changes = new Map(look.changes.map((change) => [change.path, change]))
  const touched = new Set([...recorded.map(({ data }) => data.path), ...changes.keys()])
  const windows: PathWindow[] = []
  const writesOf = Map.groupBy(recorded, ({ data }) => data.path)
  let files: ReadonlyMap<string, LedgerFile> | undefined
  for (const path of touched) {
    const writes = writesOf.get(path) ?? []
    const change = changes.get(path)
    // A path that is as it was, although it was written to: somebody took that back, unless it is one that git ignores.
    files ??= change ? undefined : await ledger.files(base)
    const same = change ? undefined : files?.get(path)
    if (!change && !same && (await isThere(sandbox, path))) continue
    const before = await stateOf(ledger, change ? change.before : same)
    windows.push({
      path,
      before,
      now: change ? { file: change.after, sha256: look.sha256.get(path) } : before,
      recorded: writes.map(({ actor, data }) => ({
        actor,
        before: data.before,
        after: data.after,
        file: data.after === undefined ? undefined : noted.get(keyOf(path, data.after)),
      })),
    })
  }
  return windows
}

/** A window between two looks. */
interface Window {
  readonly ledger: Ledger
  readonly sandbox: Sandbox
  /** The commit at its beginning. */
  readonly base: string
  readonly look: WorkspaceLook
  readonly recorded: readonly RecordedChange[]
  readonly noted: ReadonlyMap<string, LedgerFile>
}

/** Neither before nor after, as far as the look tells, which passes over what git ignores: created in between, and gone again or ignored. */
async function isThere(sandbox: Sandbox, path: string): Promise<boolean> {
  try {
    await sandbox.readFile(path, { maxBytes: 1 })
    return true
  } catch (error) {
    return !BatonError.isInstance(error, 'FILE_NOT_FOUND')
  }
}

async function stateOf(ledger: Ledger, file: LedgerFile | undefined): Promise<PathState> {
  return { file, sha256: file && (await hashOf(ledger, file)) }
}

/** The hash of a file's own content, also where only a pointer is kept. */
async function hashOf(ledger: Ledger, file: LedgerFile): Promise<string> {
  const content = await ledger.read(file)
  const pointer = file.hashOnly ? /^oid sha256:([0-9a-f]{64})$/m.exec(Buffer.from(content).toString('latin1'))?.[1] : undefined
  return pointer ?? sha256Of(content)
}

/** What the log is told of a change that nobody recorded. */
export async function draftOf(
  { parts }: TaskRuntime,
  ledger: Ledger,
  { path, from, to, verdict }: FoundWrite,
  withDiff: boolean,
): Promise<EventDraft<'file.changed'>> {
  const { actor, evidence, candidates, callId } = verdict
  const change = from.sha256 === undefined ? 'created' : to.sha256 === undefined ? 'deleted' : 'modified'
  const difference = withDiff ? await diffOf(ledger, from, to) : {}
  // It gets into prompts, so it is labelled like everything that does.
  const label = await labelOf(parts, difference.diff ?? '', [`file:${path}`])
  return {
    type: 'file.changed',
    actor,
    data: {
      ...{ path, change, evidence },
      ...(candidates && { candidates: [...candidates] }),
      ...(callId !== undefined && { callId }),
      ...(from.sha256 !== undefined && { before: from.sha256 }),
      ...(to.sha256 !== undefined && { after: to.sha256 }),
      ...difference,
      ...label,
    },
  }
}

interface Difference {
  readonly diff?: string
  readonly addedLines?: number
  readonly removedLines?: number
}

async function diffOf(ledger: Ledger, from: PathState, to: PathState): Promise<Difference> {
  const known = ({ file, sha256 }: PathState): boolean => sha256 === undefined || (file !== undefined && !file.hashOnly)
  if (!known(from) || !known(to)) return {}
  const [before, after] = await Promise.all([from, to].map(({ file }) => (file ? ledger.read(file) : new Uint8Array())))
  const texts = [before, after].map((content) => content && decodeText(content))
  const [old, now] = texts
  if (old === undefined || now === undefined) return {}
  const modes = from.file && to.file && from.file.mode !== to.file.mode ? `old mode ${from.file.mode}\nnew mode ${to.file.mode}\n` : ''
  const { text, addedLines, removedLines } = diffTexts(old, now, maxDiffBytes)
  return { diff: modes + text, addedLines, removedLines }
}

/** In lower-case hexadecimal. */
export function sha256Of(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Names what a recorded change has left at a path. */
export function keyOf(path: string, sha256: string): string {
  return `${sha256} ${path}`
}
