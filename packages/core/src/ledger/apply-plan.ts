import { BatonError, throwIfAborted } from '../errors.ts'
import type { Abortable } from '../options.ts'
import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { encodeTarHeader, tarEnd, tarPadding } from '../sandbox/tar-header.ts'
import type { FoundFiles } from './found-files.ts'
import { findFiles } from './found-files.ts'
import type { Ledger } from './ledger.ts'
import { removeEmptyFolders, removeFiles } from './remove-files.ts'
import type { PlanConflict, PlannedWrite } from './write-plan.ts'
import { foldersAbove } from './write-plan.ts'

/** What became of a plan. With conflicts, the files are as they were; but for those in conflict, which somebody else changed meanwhile. */
export interface AppliedPlan {
  readonly conflicts: readonly PlanConflict[]
}

/** So many new files are not written one by one but come in one archive. */
const manyFiles = 200

/**
 * Brings a plan into a sandbox: all of it, or nothing. Looks first whether every file is as the plan expects; then each is written, or removed, only if it still
 * is, which is looked at in the sandbox itself. Where one is not, or the sandbox fails, or it is aborted, what was written is taken back. What is already as it
 * is to be counts as done: so after a crash in the middle the same plan can be applied again, and comes to its end.
 *
 * Two guards are weaker: a link, and one of more than 200 new files, is put in place of whatever came there since the first look. Content of which only the hash
 * is kept is held in memory if it is to be written over.
 *
 * @throws BatonError of the sandbox or the ledger, `ABORTED`; what was written is taken back before, as far as the sandbox still can
 */
export async function applyPlan(
  sandbox: Sandbox,
  ledger: Ledger,
  writes: readonly PlannedWrite[],
  { signal }: Abortable = {},
): Promise<AppliedPlan> {
  const unkept = writes.filter(({ to }) => to?.hashOnly).map(({ path }): PlanConflict => ({ path, kind: 'not-kept' }))
  if (unkept.length > 0 || writes.length === 0) return { conflicts: unkept }
  const found = await look(sandbox, ledger, writes, { signal })
  const leaving = new Set(writes.filter(({ to }) => !to).map(({ path }) => path))
  const conflicts = writes.flatMap((write) => whatIsInTheWay(write, leaving, found))
  if (conflicts.length > 0) return { conflicts }
  const needed = writes.filter(({ path, to }) => !found.is(path, to))
  const kept = await keepUnkept(sandbox, needed, { signal })
  const revert = { sandbox, ledger, writes: needed, kept }
  try {
    throwIfAborted(signal, 'writing files')
    const changed = await bring({ sandbox, read: ledger.read, found, signal }, needed)
    if (changed.length === 0) return { conflicts: [] }
    const others = await takeBack(revert)
    return { conflicts: [...new Set([...changed, ...others])].map((path) => ({ path, kind: 'changed' })) }
  } catch (error) {
    // The first failure says more than one of the sandbox while it is put in order.
    await takeBack(revert).catch(() => undefined)
    throw error
  }
}

function look(sandbox: Sandbox, ledger: Ledger, writes: readonly PlannedWrite[], options: Abortable): Promise<FoundFiles> {
  const compared = writes.map(({ path, expect, to }) => ({ path, files: [expect, to] }))
  return findFiles(sandbox, ledger, compared, options)
}

/** Why a write cannot be done as the sandbox is now. */
function whatIsInTheWay({ path, expect, to }: PlannedWrite, leaving: ReadonlySet<string>, { stats, is }: FoundFiles): PlanConflict[] {
  if (!is(path, to) && !is(path, expect)) return [{ path, kind: 'changed' }]
  if (!to) return []
  const blocked = foldersAbove(path).some((place) => {
    const kind = stats.get(place)?.kind
    return kind !== undefined && kind !== 'folder' && !leaving.has(place)
  })
  const inside = stats.get(path)?.kind === 'folder' ? [...stats.values()].filter((stat) => stat.path.startsWith(`${path}/`)) : []
  const filled = inside.some((stat) => stat.kind !== 'folder' && !leaving.has(stat.path))
  return blocked || filled ? [{ path, kind: 'in-the-way' }] : []
}

/** Contents that no ledger could give back. */
async function keepUnkept(sandbox: Sandbox, writes: readonly PlannedWrite[], options: Abortable): Promise<ReadonlyMap<string, Uint8Array>> {
  const kept = new Map<string, Uint8Array>()
  const isNeeded = ({ path, to }: PlannedWrite): boolean => to !== undefined || isReplaced(path, writes)
  for (const write of writes)
    if (write.expect?.hashOnly && isNeeded(write)) kept.set(write.expect.oid, await sandbox.readFile(write.path, options))
  return kept
}

/** Whether a path is, or is in, one that something else takes the place of. */
function isReplaced(path: string, writes: readonly PlannedWrite[]): boolean {
  return writes.some(({ path: other, to }) => to && (other.startsWith(`${path}/`) || path.startsWith(`${other}/`)))
}

interface Bringing {
  readonly sandbox: Sandbox
  readonly read: Ledger['read']
  readonly found: FoundFiles
  readonly signal: AbortSignal | undefined
}

/** Does writes. Returns the path at which it stopped, if any is no longer as it was found. */
async function bring(bringing: Bringing, writes: readonly PlannedWrite[]): Promise<readonly string[]> {
  const { sandbox, found, signal } = bringing
  const removals = writes.filter(({ to }) => !to)
  // What could not be given back is removed last of all, when nothing else can fail any more.
  const isLast = ({ path, expect }: PlannedWrite): boolean => expect?.hashOnly === true && !isReplaced(path, writes)
  const [first, last] = [removals.filter((write) => !isLast(write)), removals.filter(isLast)]
  const toRemove = (write: PlannedWrite) => {
    const { sha256 = '', target } = found.contents.get(write.path) ?? {}
    return { path: write.path, sha256, target }
  }
  const changed = await removeFiles(sandbox, first.map(toRemove), { signal })
  if (changed.length > 0) return changed
  await removeEmptyFolders(sandbox, foldersToReplace(writes, found), { signal })
  const stopped = await writeAll(bringing, writes)
  if (stopped.length > 0) return stopped
  const late = await removeFiles(sandbox, last.map(toRemove), { signal, checkFirst: true })
  if (late.length > 0) return late
  await removeEmptyFolders(sandbox, [...new Set(removals.flatMap(({ path }) => foldersAbove(path)))], { signal })
  return []
}

function foldersToReplace(writes: readonly PlannedWrite[], { stats }: FoundFiles): string[] {
  const places = writes.filter(({ path, to }) => to && stats.get(path)?.kind === 'folder').map(({ path }) => path)
  if (places.length === 0) return []
  const folders = [...stats.values()].filter(({ kind }) => kind === 'folder').map(({ path }) => path)
  return folders.filter((path) => places.some((place) => path === place || path.startsWith(`${place}/`)))
}

async function writeAll(bringing: Bringing, writes: readonly PlannedWrite[]): Promise<readonly string[]> {
  const { sandbox, read, signal } = bringing
  const many = writes.filter(({ to, expect }) => to && !expect).length > manyFiles
  const inArchive = ({ to, expect }: PlannedWrite): boolean => isLink(to) || isLink(expect) || (many && !expect)
  const wanted = writes.filter(({ to }) => to)
  for (const write of wanted) if (!inArchive(write) && (await isStopped(() => writeOne(bringing, write)))) return [write.path]
  const together = wanted.filter(inArchive)
  if (together.length === 0) return []
  const stopped = await isStopped(() => sandbox.unpack(archiveOf(together, read), { signal }))
  return stopped ? together.map(({ path }) => path) : []
}

function isLink(file: PlannedWrite['to']): boolean {
  return file?.mode === '120000'
}

async function writeOne({ sandbox, read, found, signal }: Bringing, { path, expect, to }: PlannedWrite): Promise<void> {
  if (!to) return
  const there = found.stats.get(path)
  const executable = to.mode === '100755'
  const before = there?.kind === 'file' ? there.mode & 0o777 : 0o644
  // Who may read it may run it.
  const mode = executable ? before | ((before & 0o444) >> 2) : before & ~0o111
  const isNew = expect === undefined
  const keepsMode = !isNew && expect.mode === to.mode
  await sandbox.writeFile(path, await read(to), {
    ifSha256: isNew ? null : (found.contents.get(path)?.sha256 ?? null),
    ...(!keepsMode && { mode }),
    signal,
  })
}

/** Whether what was to be written over is not what it was. */
async function isStopped(write: () => Promise<void>): Promise<boolean> {
  try {
    await write()
    return false
  } catch (error) {
    const codes = ['FILE_CHANGED', 'FILE_NOT_FOUND', 'NOT_A_FILE', 'PATH_OUTSIDE_WORKDIR'] as const
    if (codes.some((code) => BatonError.isInstance(error, code))) return true
    throw error
  }
}

function archiveOf(writes: readonly PlannedWrite[], read: Ledger['read']): ReadableStream<Uint8Array> {
  async function* members(): AsyncGenerator<Uint8Array> {
    for (const { path, to } of writes) {
      if (!to) continue
      const content = await read(to)
      const header = { name: pathToBytes(path), mtimeMs: Date.now() }
      if (isLink(to)) yield encodeTarHeader({ ...header, type: 'link', target: Buffer.from(content), size: 0, mode: 0o777 })
      else {
        yield encodeTarHeader({ ...header, type: 'file', size: content.length, mode: to.mode === '100755' ? 0o755 : 0o644 })
        yield content
        yield tarPadding(content.length)
      }
    }
    yield tarEnd()
  }
  return ReadableStream.from(members())
}

interface Revert {
  readonly sandbox: Sandbox
  readonly ledger: Ledger
  readonly writes: readonly PlannedWrite[]
  readonly kept: ReadonlyMap<string, Uint8Array>
}

/** Brings what was written back to what was expected there. Returns the paths that are neither the one nor the other by now. */
async function takeBack({ sandbox, ledger, writes, kept }: Revert): Promise<readonly string[]> {
  const found = await look(sandbox, ledger, writes, {})
  const read: Ledger['read'] = async (file) => kept.get(file.oid) ?? (await ledger.read(file))
  const isLost = ({ expect }: PlannedWrite): boolean => expect?.hashOnly === true && !kept.has(expect.oid)
  const changed = writes.filter(({ path, expect }) => !found.is(path, expect))
  const isDone = (write: PlannedWrite): boolean => found.is(write.path, write.to) && !isLost(write)
  const others = changed.filter((write) => !isDone(write)).map(({ path }) => path)
  const inverse = changed.filter(isDone).map(({ path, expect, to }) => ({ path, expect: to, to: expect }))
  return [...others, ...(await bring({ sandbox, read, found, signal: undefined }, inverse))]
}
