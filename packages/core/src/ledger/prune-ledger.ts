import { setImmediate as pause } from 'node:timers/promises'
import { BatonError } from '../errors.ts'
import { targetOfTag } from './git-commit.ts'
import { folderMode } from './git-tree.ts'
import type { LedgerReader } from './ledger-reader.ts'
import type { LiveMarks } from './live-marks.ts'
import { createLiveMarks } from './live-marks.ts'
import type { PackFolder } from './pack-folder.ts'

/** A commit that no ref needs is left alone for so long: the ref may be about to follow. */
const settlingSeconds = 86_400
/** Objects that are looked at before others get a turn. */
const turn = 512

/** What a walk has met. */
interface Walk {
  readonly marked: string[]
  lacksFiles: boolean
}

/**
 * Finds what is needed: all that the roots lead to, and what was committed lately and does not stand on a pruned commit. Rejects with `LEDGER_DAMAGED` where a
 * commit or folder that a root needs cannot be read, since what else is needed is not known then.
 *
 * @param roots - what refs name, by name
 * @param pruned - commits that are to go
 */
export async function findLiveObjects(
  reader: LedgerReader,
  packs: PackFolder,
  roots: ReadonlyMap<string, string>,
  pruned: readonly string[],
): Promise<LiveMarks> {
  const marks = createLiveMarks(packs)
  for (const [name, oid] of roots) await markReachable(reader, marks, oid, `needed by ${name}`)
  const going = new Set<string>()
  for (const oid of pruned) await walkBack(reader, marks, oid, going)
  for await (const oid of recentCommits(reader, packs, marks)) await markRecent(reader, marks, going, oid)
  return marks
}

async function markReachable(
  reader: LedgerReader,
  marks: LiveMarks,
  root: string,
  what: string,
  walk: Walk = { marked: [], lacksFiles: false },
): Promise<void> {
  const waiting = [root]
  for (let oid = waiting.pop(), seen = 1; oid !== undefined; oid = waiting.pop(), seen++) {
    if (seen % turn === 0) await pause()
    if (marks.has(oid)) continue
    const { files, others } = needsOf(reader, oid, what)
    for (const object of [oid, ...files]) if (marks.add(object)) walk.marked.push(object)
    walk.lacksFiles ||= files.some((file) => !marks.has(file))
    waiting.push(...others)
  }
}

/** What an object needs: files, which themselves need nothing, and others. */
function needsOf(reader: LedgerReader, oid: string, what: string): { files: readonly string[]; others: readonly string[] } {
  const { type, content } = reader.object(oid, what)
  if (type === 'blob') return { files: [], others: [] }
  if (type === 'tag') return { files: [], others: [targetOfTag(content)].filter((target) => target !== undefined) }
  if (type === 'commit') {
    const { tree, parents } = reader.commit(oid)
    return { files: [], others: [tree, ...parents] }
  }
  const entries = reader.tree(oid)
  const oids = (isFolder: boolean): string[] => entries.flatMap((entry) => ((entry.mode === folderMode) === isFolder ? entry.oid : []))
  return { files: oids(false), others: oids(true) }
}

/** Marks a commit that no ref needs, but for one that stands on what is to go, or of which an interrupted prune has removed something. */
async function markRecent(reader: LedgerReader, marks: LiveMarks, going: ReadonlySet<string>, oid: string): Promise<void> {
  const line = new Set<string>()
  if (!(await walkBack(reader, marks, oid, line)) || [...line].some((commit) => going.has(commit))) return
  const walk: Walk = { marked: [], lacksFiles: false }
  const isWhole = await markReachable(reader, marks, oid, 'needed by a commit made lately', walk).then(
    () => !walk.lacksFiles,
    (error: unknown) => {
      if (BatonError.isInstance(error, 'LEDGER_DAMAGED')) return false
      throw error
    },
  )
  if (!isWhole) for (const object of walk.marked) marks.remove(object)
}

/** Collects a commit and those before it, as far as they are not marked. Returns whether all of them are there. */
async function walkBack(reader: LedgerReader, marks: LiveMarks, from: string, found: Set<string>): Promise<boolean> {
  let isWhole = true
  const waiting = [from]
  for (let oid = waiting.pop(); oid !== undefined; oid = waiting.pop()) {
    if (found.has(oid) || marks.has(oid)) continue
    found.add(oid)
    if (found.size % turn === 0) await pause()
    const commit = reader.commitIfThere(oid)
    if (commit) waiting.push(...commit.parents)
    else isWhole = false
  }
  return isWhole
}

async function* recentCommits(reader: LedgerReader, packs: PackFolder, marks: LiveMarks): AsyncGenerator<string> {
  const earliest = Date.now() / 1000 - settlingSeconds
  for (const pack of packs.list()) {
    const index = packs.index(pack)
    for (let position = 0; index && position < index.count; position++) {
      if (position % turn === 0) await pause()
      const oid = index.oidAt(position).toString('hex')
      if (marks.isLive(pack, position) || packs.head(oid)?.type !== 'commit') continue
      if ((reader.commitIfThere(oid)?.seconds ?? 0) >= earliest) yield oid
    }
  }
}
