import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Ledger, LedgerFile } from './ledger.ts'
import { planUndo } from './undo-plan.ts'

/** A line that is told from every other one, whatever it reads. */
interface Line {
  readonly text: string
}
interface File {
  readonly lines: readonly Line[]
  readonly mode: '100644' | '100755'
}
type Files = ReadonlyMap<string, File>
type Who = 'human' | 'agent'

const edit = fc.record({
  kind: fc.constantFrom(
    'insert',
    'insert',
    'insert',
    'delete',
    'replace',
    'replace',
    'replace',
    'end',
    'chmod',
    'create',
    'remove',
    'rename',
  ),
  file: fc.nat(2),
  at: fc.nat(30),
  count: fc.integer({ min: 1, max: 3 }),
  // Few texts, so that lines repeat; an empty one stands for a line like no other.
  texts: fc.array(fc.constantFrom('}', 'x', '}', ''), { minLength: 1, maxLength: 3 }),
})
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never
const story = fc.record({
  start: fc.array(fc.array(fc.constantFrom('}', 'x', '', '', ''), { maxLength: 12 }), { minLength: 1, maxLength: 3 }),
  commits: fc.array(fc.record({ who: fc.constantFrom<Who>('human', 'agent'), edits: fc.array(edit, { minLength: 1, maxLength: 3 }) }), {
    minLength: 2,
    maxLength: 8,
  }),
})
const names = ['a.txt', 'dir/b.txt', 'c.txt']
const textOf = ({ lines }: File): string => lines.map(({ text }) => text).join('')

const same = (a: File | undefined, b: File | undefined): boolean => (a && b ? textOf(a) === textOf(b) && a.mode === b.mode : a === b)

/** Does an edit in its way; nothing where it does not fit. */
function doEdit(files: Map<string, File>, { kind, file: nth, at, count, texts }: Edit, fresh: (text: string) => Line): void {
  const path = names[nth]!
  const file = files.get(path)
  const made = texts.map(fresh)
  if (!file) {
    if (kind === 'create' || kind === 'insert') files.set(path, { lines: made, mode: '100644' })
    return
  }
  const { lines } = file
  const place = at % (lines.length + 1)
  const set = (changed: readonly Line[]): void => {
    // A line without an end that is no longer the last one gets it.
    const ended = changed.map((line, index) =>
      index < changed.length - 1 && !line.text.endsWith('\n') ? { text: `${line.text}\n` } : line,
    )
    files.set(path, { ...file, lines: ended })
  }
  if (kind === 'insert') set(lines.toSpliced(place, 0, ...made))
  else if (kind === 'delete') set(lines.toSpliced(place, count))
  else if (kind === 'replace') set(lines.toSpliced(place, count, ...made))
  else if (kind === 'end' && lines.length > 0)
    set(lines.with(-1, { text: lines.at(-1)!.text.replace(/\n?$/, (end) => (end === '' ? '\n' : '')) }))
  else if (kind === 'chmod') files.set(path, { ...file, mode: file.mode === '100644' ? '100755' : '100644' })
  else if (kind === 'remove') files.delete(path)
  else if (kind === 'rename') {
    const target = names[(nth + 1) % names.length]!
    if (files.has(target)) return
    files.delete(path)
    files.set(target, { ...file, lines: lines.map(({ text }) => ({ text })) })
  }
}

/** Length of the longest common subsequence, the plain way. */
function commonLength(a: readonly string[], b: readonly string[]): number {
  let above = new Array<number>(b.length + 1).fill(0)
  for (const line of a) {
    const row = [0]
    for (const [at, other] of b.entries()) row.push(line === other ? above[at]! + 1 : Math.max(above[at + 1]!, row[at]!))
    above = row
  }
  return above[b.length]!
}

/** Whether an edit is the shortest that does this. If not, no one who sees only the states could tell what it was. */
function isShortest(before: File | undefined, after: File | undefined): boolean {
  if (!before || !after) return true
  const kept = after.lines.filter((line) => before.lines.includes(line)).length
  return (
    kept ===
    commonLength(
      before.lines.map(({ text }) => text),
      after.lines.map(({ text }) => text),
    )
  )
}

interface Commit {
  readonly who: Who
  readonly files: Files
}

/** Plays a story: the states, each after the changes of one actor. */
function play({ start, commits }: typeof story extends fc.Arbitrary<infer T> ? T : never): Commit[] {
  let unique = 0
  const fresh = (text: string): Line => ({ text: `${text || `u${unique++}`}\n` })
  let files: Files = new Map(start.map((texts, nth) => [names[nth]!, { lines: texts.map(fresh), mode: '100644' as const }]))
  const played: Commit[] = [{ who: 'human', files }]
  for (const { who, edits } of commits) {
    const next = new Map(files)
    for (const one of edits) {
      const tried = new Map(next)
      doEdit(tried, one, fresh)
      if (names.every((path) => isShortest(files.get(path), tried.get(path))))
        for (const path of names) setOrDelete(next, path, tried.get(path))
    }
    files = next
    played.push({ who, files })
  }
  return played
}

function setOrDelete<V>(map: Map<string, V>, key: string, value: V | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}

interface Hunk {
  readonly out: readonly Line[]
  readonly put: readonly Line[]
  readonly left: Line | 'start'
  readonly right: Line | 'end'
}

/** What lines went and came, by the lines themselves. */
function hunksOf(before: readonly Line[], after: readonly Line[]): Hunk[] {
  const hunks: Hunk[] = []
  for (let i = 0, j = 0; i < before.length || j < after.length; i++, j++) {
    const [i0, j0] = [i, j]
    while (i < before.length && !after.includes(before[i]!)) i++
    while (j < after.length && !before.includes(after[j]!)) j++
    if (i > i0 || j > j0)
      hunks.push({ out: before.slice(i0, i), put: after.slice(j0, j), left: before[i0 - 1] ?? 'start', right: before[i] ?? 'end' })
  }
  return hunks
}

/** What a replay of one actor's edits alone comes to; `clash` where they cannot be done without the other's. */
type Expected = { readonly file: File | undefined } | 'clash'
class Clash extends Error {}

/**
 * Replays, from the first to the last, the edits to one file that are kept, by the identity of each line, in a file in which the others were never made. It
 * knows what no one can see who has only the states, and works in the other direction than what it is to judge.
 */
function replay(path: string, commits: readonly Commit[], undone: Who): Expected {
  const putBy = new Map<Line, Hunk>()
  const outBy = new Map<Line, Hunk>()
  /** Lines put in place of the other's, which only go together when they read as what was there at first. */
  const restored: { put: Line[]; read: string }[] = []
  /** Lines put where nobody can say where they would be without the other's. They must be gone in the end. */
  const orphans = new Set<Line>()
  let file = commits[0]!.files.get(path)
  let touched: 'no' | 'mode' | 'content' = 'no'
  let clashed = false
  let replaced = false
  const without: (File | undefined)[] = []
  for (const [at, { who, files }] of commits.entries()) {
    const before = commits[at - 1]?.files.get(path)
    const after = files.get(path)
    if (at === 0 || same(before, after)) continue
    try {
      if (who === undone) without.push(file)
      if (who === undone) touched = touched === 'content' || !before || !after || textOf(before) !== textOf(after) ? 'content' : 'mode'
      else if (before && after) file = edited(before, after)
      else {
        // A file as a whole is what it is, whatever was there. With something of the other's in its place, that goes only where both come to the same.
        if (touched === 'content') replaced = true
        file = after
        clashed = false
        orphans.clear()
        restored.length = 0
      }
    } catch (error) {
      if (!(error instanceof Clash)) throw error
      clashed = true
    }
    for (const hunk of before && after ? hunksOf(before.lines, after.lines) : []) {
      for (const line of hunk.out) outBy.set(line, hunk)
      for (const line of hunk.put) putBy.set(line, hunk)
    }
  }
  const lines = file?.lines ?? []
  if (
    clashed ||
    orphans.size > 0 ||
    (replaced && !without.some((was) => same(was, file))) ||
    lines.slice(0, -1).some(({ text }) => !text.endsWith('\n'))
  )
    return 'clash'
  if (restored.some(({ put, read }) => put.length > 0 && put.map(({ text }) => text).join('') !== read)) return 'clash'
  return { file }

  function edited(before: File, after: File): File | undefined {
    if (!file && before.mode !== after.mode) throw new Clash()
    let lines = file?.lines ?? []
    for (const hunk of hunksOf(before.lines, after.lines)) lines = redo(lines, hunk, before.lines)
    return file && { lines, mode: before.mode === after.mode ? file.mode : after.mode }
  }

  function redo(lines: readonly Line[], hunk: Hunk, seen: readonly Line[]): readonly Line[] {
    const { out, put } = hunk
    for (const { put: known } of restored) {
      const at =
        out.length > 0
          ? known.findIndex((line) => out.includes(line))
          : known.includes(hunk.left as Line)
            ? known.indexOf(hunk.right as Line)
            : -1
      if (at >= 0) known.splice(at, known.filter((line) => out.includes(line)).length, ...put)
    }
    if (out.length === 0) {
      const place = file && placeOf(lines, hunk, seen)
      if (place !== undefined) return lines.toSpliced(place, 0, ...put)
      for (const line of put) orphans.add(line)
      return lines
    }
    const foreign = out.filter((line) => !lines.includes(line))
    let present = out
    if (foreign.length > 0) {
      if (out.every((line) => orphans.delete(line))) {
        for (const line of put) orphans.add(line)
        return lines
      }
      // Only the other's whole block may be put in order by hand.
      const block = putBy.get(foreign[0]!)
      if (!block || block.put.length !== out.length || !out.every((line) => block.put.includes(line))) throw new Clash()
      restored.push({ put: [...put], read: block.out.map(({ text }) => text).join('') })
      if (block.out.length === 0) {
        for (const line of put) orphans.add(line)
        return lines
      }
      present = block.out
    }
    const first = lines.indexOf(present[0]!)
    if (!present.every((line, at) => lines[first + at] === line)) throw new Clash()
    return lines.toSpliced(first, present.length, ...put)
  }

  /** Where an insertion goes: between the nearest lines that are in both, and past or before those between them that the other took out. */
  function placeOf(lines: readonly Line[], { left, right }: Hunk, seen: readonly Line[]): number | undefined {
    const gap = left === 'start' ? 0 : seen.indexOf(left) + 1
    if (right !== 'end' && seen.indexOf(right) !== gap) throw new Error('a gap is between neighbours')
    const from = lines.indexOf(seen.slice(0, gap).findLast((line) => lines.includes(line))!) + 1
    const next = seen.slice(gap).find((line) => lines.includes(line))
    const to = next === undefined ? lines.length : lines.indexOf(next)
    const sides = lines.slice(from, to).map((line) => sideOf(line, gap, seen))
    const place = sides.lastIndexOf('left') + 1
    return sides.includes('unknown') || sides.slice(0, place).includes('right') ? undefined : from + place
  }

  /** On which side of a gap a line is, or was when it was there. */
  function sideOf(line: Line | 'start' | 'end', gap: number, seen: readonly Line[]): 'left' | 'right' | 'unknown' {
    if (line === 'start' || line === 'end') return line === 'start' ? 'left' : 'right'
    const at = seen.indexOf(line)
    if (at >= 0) return at < gap ? 'left' : 'right'
    const hunk = outBy.get(line)
    // Put there by the same commit, further up.
    if (!hunk) return 'left'
    const { put, left, right } = hunk
    const sides = new Set(put.map((other) => sideOf(other, gap, seen)))
    if (sides.size > 0) return sides.size === 1 ? [...sides][0]! : 'unknown'
    if (sideOf(left, gap, seen) === 'right') return 'right'
    return sideOf(right, gap, seen) === 'left' ? 'left' : 'unknown'
  }
}

/** A ledger of these states; commits are their numbers. */
function ledgerOf(commits: readonly Commit[]): { ledger: Ledger; textOf: (file: LedgerFile | undefined) => string | undefined } {
  const contents = new Map<string, Uint8Array>()
  const put: Ledger['put'] = (content, mode = '100644') => {
    const oid = createHash('sha1').update(content).digest('hex')
    contents.set(oid, content)
    return { mode, oid }
  }
  const states = commits.map(({ files }) => new Map([...files].map(([path, file]) => [path, put(Buffer.from(textOf(file)), file.mode)])))
  const ledger = {
    put,
    files: async (commit: string) => states[Number(commit)]!,
    compare: async (from: string, to: string) => {
      const [a, b] = [states[Number(from)]!, states[Number(to)]!]
      const paths = new Set([...a.keys(), ...b.keys()])
      const changes = [...paths].map((path) => ({ path, before: a.get(path), after: b.get(path) }))
      return changes.filter(({ before, after }) => before?.oid !== after?.oid || before?.mode !== after?.mode)
    },
    read: async ({ oid }: LedgerFile) => contents.get(oid)!,
  } as unknown as Ledger
  return { ledger, textOf: (file) => file && Buffer.from(contents.get(file.oid)!).toString() }
}

async function undo(commits: readonly Commit[], who: Who) {
  const { ledger, textOf: read } = ledgerOf(commits)
  const ids = commits.slice(1).map((commit, at) => ({ ...commit, commit: String(at + 1), parent: String(at) }))
  const taken = new Set(ids.filter((commit) => commit.who === who).map(({ commit }) => commit))
  const now = String(commits.length - 1)
  const plan = await planUndo({ ledger, commits: ids, undo: taken, now })
  const result = new Map([...(await ledger.files(now))].map(([path, file]) => [path, file]))
  for (const { path, expect: there, to } of plan.writes) {
    expect(result.get(path)).toEqual(there)
    setOrDelete(result, path, to)
  }
  return { ...plan, at: (path: string) => ({ text: read(result.get(path)), mode: result.get(path)?.mode }) }
}

const seen = { equal: 0, merged: 0, refused: 0, cautious: 0 }

describe('planUndo', () => {
  it('gives what a replay of the other’s edits alone gives, or a conflict, whatever they edited and in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(story, fc.constantFrom<Who>('human', 'agent'), async (script, who) => {
        const commits = play(script)
        const { conflicts, at } = await undo(commits, who)
        for (const path of names) {
          const expected = replay(path, commits, who)
          const found = conflicts.find((conflict) => conflict.path === path)
          if (expected === 'clash') {
            expect(found, `${path} should be in conflict, and became ${JSON.stringify(at(path))}`).toBeDefined()
            seen.refused++
          } else if (found) seen.cautious++
          else if (conflicts.length === 0) {
            expect(at(path), path).toEqual({ text: expected.file && textOf(expected.file), mode: expected.file?.mode })
            const last = commits.at(-1)!.files.get(path)
            if ((last && textOf(last)) === (expected.file && textOf(expected.file))) seen.equal++
            else seen.merged++
          }
        }
      }),
      { numRuns: 1_000 },
    )
    // Else it would say nothing: most is merged or left alone, some clashes, and little is refused that a replay can do.
    const all = seen.equal + seen.merged + seen.refused + seen.cautious
    expect(seen.merged / all).toBeGreaterThan(0.2)
    expect(seen.refused / all).toBeGreaterThan(0.05)
    expect(seen.cautious / all).toBeLessThan(0.15)
  })

  it('is no conflict where there is always an untouched line between what each of them edits', async () => {
    const blocks = fc.record({
      commits: fc.array(
        fc.record({
          who: fc.constantFrom<Who>('human', 'agent'),
          edits: fc.array(fc.record({ block: fc.nat(2), at: fc.nat(6), out: fc.nat(2), put: fc.nat(3) }), { minLength: 1, maxLength: 4 }),
        }),
        { minLength: 2, maxLength: 10 },
      ),
      who: fc.constantFrom<Who>('human', 'agent'),
    })
    await fc.assert(
      fc.asyncProperty(blocks, async ({ commits: script, who }) => {
        let unique = 0
        const fresh = (count: number): Line[] => Array.from({ length: count }, () => ({ text: `u${unique++}\n` }))
        // Six blocks, one of the human's and one of the agent's in turn, each behind a line that nobody touches.
        const guards = fresh(6)
        const contents = guards.map(() => fresh(3))
        const kept = contents.map((block) => [...block])
        const state = (of: readonly Line[][]): Files =>
          new Map([['a.txt', { lines: guards.flatMap((guard, at) => [guard, ...of[at]!]), mode: '100644' as const }]])
        const played: Commit[] = [{ who: 'human', files: state(contents) }]
        for (const { who: by, edits } of script) {
          for (const { block, at, out, put } of edits) {
            const nth = block * 2 + (by === 'human' ? 0 : 1)
            const lines = fresh(put)
            for (const place of by === who ? [contents] : [contents, kept]) place[nth]!.splice(at % (place[nth]!.length + 1), out, ...lines)
          }
          played.push({ who: by, files: state(contents) })
        }
        const { conflicts, at } = await undo(played, who)
        expect(conflicts).toEqual([])
        expect(at('a.txt').text).toBe(textOf(state(kept).get('a.txt')!))
      }),
      { numRuns: 300 },
    )
  })
})
