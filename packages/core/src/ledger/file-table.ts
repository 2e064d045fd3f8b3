import type { FileStat } from '../sandbox/sandbox.ts'
import type { LedgerFile } from './ledger.ts'

/**
 * What was seen of each file and link of a workspace, in columns rather than objects: about 60 bytes a file besides its path. A row stands for a path until
 * that is removed; it is marked as seen in each round, so that what is gone can be told.
 */
export interface FileTable {
  /** Begins a round: no row is seen any more. */
  newRound(): void
  /** The row of a path, marked as seen; undefined where there is none. */
  see(path: string): number | undefined
  /** The row of a path. */
  find(path: string): number | undefined
  /** Whether the row was read, has the size, mode, times and inode of the stat, and is not to be read again. A row that is ignored always passes. */
  isKnown(row: number, stat: FileStat): boolean
  /** Whether size, mode, times and inode are those of the stat. */
  looksLike(row: number, stat: FileStat): boolean
  /** Writes down what was read. With `again`, the next look has to read it once more whatever its stat says. */
  set(stat: FileStat, file: LedgerFile, again: boolean): void
  /** Writes down that a path is left alone. */
  setIgnored(stat: FileStat): void
  /** Has a row read again. */
  doubt(row: number): void
  isIgnored(row: number): boolean
  /** What a row holds; undefined where it is ignored. */
  file(row: number): LedgerFile | undefined
  remove(path: string): void
  clear(): void
  /** All rows by path. It may be changed meanwhile. */
  rows(): Iterable<[string, number]>
  /** The paths whose rows were not seen in this round. */
  unseen(): string[]
}

const again = 1
const ignored = 2
const hashOnly = 4
/** Where the mode as git says it begins in the flags. */
const modeShift = 3
const modes: readonly LedgerFile['mode'][] = ['100644', '100755', '120000']
const linkBit = 0x1000
const numbersPerRow = 4
const oidBytes = 20

/** Makes an empty table. */
export function createFileTable(): FileTable {
  const index = new Map<string, number>()
  const free: number[] = []
  let capacity = 0
  let used = 0
  let round = 1
  let seenCount = 0
  // Size, mtime, ctime and inode of each row stand side by side, since they are compared together.
  let numbers = new Float64Array()
  let permissions = new Uint16Array()
  let flags = new Uint8Array()
  let rounds = new Uint32Array()
  let oids = Buffer.alloc(0)

  const grow = (): void => {
    capacity = Math.max(64, capacity + (capacity >> 1))
    numbers = copied(numbers, new Float64Array(capacity * numbersPerRow))
    permissions = copied(permissions, new Uint16Array(capacity))
    flags = copied(flags, new Uint8Array(capacity))
    rounds = copied(rounds, new Uint32Array(capacity))
    oids = copied(oids, Buffer.alloc(capacity * oidBytes))
  }
  const rowFor = (path: string): number => {
    const known = index.get(path)
    if (known !== undefined) return known
    const row = free.pop() ?? used++
    if (row >= capacity) grow()
    index.set(path, row)
    return row
  }
  const mark = (row: number): void => {
    if (rounds[row] === round) return
    rounds[row] = round
    seenCount++
  }
  const write = (stat: FileStat, flag: number): number => {
    const row = rowFor(stat.path)
    numbers.set([stat.size, stat.mtimeMs, stat.ctimeMs, stat.inode], row * numbersPerRow)
    permissions[row] = permissionsOf(stat)
    flags[row] = flag
    mark(row)
    return row
  }
  const looksLike = (row: number, stat: FileStat): boolean => {
    const at = row * numbersPerRow
    return (
      numbers[at] === stat.size &&
      numbers[at + 1] === stat.mtimeMs &&
      numbers[at + 2] === stat.ctimeMs &&
      numbers[at + 3] === stat.inode &&
      permissions[row] === permissionsOf(stat)
    )
  }

  return {
    newRound() {
      round++
      seenCount = 0
    },
    see(path) {
      const row = index.get(path)
      if (row !== undefined) mark(row)
      return row
    },
    find: (path) => index.get(path),
    isKnown(row, stat) {
      const flag = flags[row] ?? 0
      return (flag & ignored) !== 0 || ((flag & again) === 0 && looksLike(row, stat))
    },
    looksLike,
    set(stat, file, readAgain) {
      const flag = (readAgain ? again : 0) | (file.hashOnly === true ? hashOnly : 0) | (modes.indexOf(file.mode) << modeShift)
      const row = write(stat, flag)
      oids.write(file.oid, row * oidBytes, oidBytes, 'hex')
    },
    setIgnored: (stat) => void write(stat, ignored),
    doubt(row) {
      flags[row] = (flags[row] ?? 0) | again
    },
    isIgnored: (row) => ((flags[row] ?? 0) & ignored) !== 0,
    file(row) {
      const flag = flags[row] ?? 0
      if ((flag & ignored) !== 0) return undefined
      const oid = oids.toString('hex', row * oidBytes, (row + 1) * oidBytes)
      return { mode: modes[flag >> modeShift] ?? '100644', oid, ...((flag & hashOnly) !== 0 && { hashOnly: true }) }
    },
    remove(path) {
      const row = index.get(path)
      if (row === undefined) return
      index.delete(path)
      if (rounds[row] === round) seenCount--
      rounds[row] = 0
      free.push(row)
    },
    clear() {
      index.clear()
      free.length = 0
      used = 0
      seenCount = 0
      rounds.fill(0)
    },
    rows: () => [...index],
    unseen: () => (seenCount === index.size ? [] : [...index].filter(([, row]) => rounds[row] !== round).map(([path]) => path)),
  }
}

function copied<T extends Float64Array | Uint32Array | Uint16Array | Uint8Array>(from: T, to: T): T {
  to.set(from)
  return to
}

function permissionsOf({ mode, kind }: FileStat): number {
  return (mode & 0xfff) | (kind === 'link' ? linkBit : 0)
}
