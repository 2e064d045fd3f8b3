import { createHash } from 'node:crypto'
import { posix } from 'node:path'
import { BatonError, throwIfAborted } from '../errors.ts'
import { namesInside, notAFileError, notFoundError, outsideError } from '../sandbox/local-folder.ts'
import { pathToBytes } from '../sandbox/path-bytes.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import { encodeTarHeader, tarEnd, tarPadding } from '../sandbox/tar-header.ts'
import type { TarMember } from '../sandbox/tar-reader.ts'
import { readTar } from '../sandbox/tar-reader.ts'

interface Entry {
  readonly kind: 'file' | 'folder' | 'link'
  readonly data: Uint8Array
  /** Of a link: where it points. */
  readonly target: string
  readonly mode: number
  readonly mtimeMs: number
  readonly ctimeMs: number
  readonly inode: number
}

/** Files of a sandbox in memory. Links are kept and followed as on a disk. */
export interface MemoryFiles extends Pick<Sandbox, 'readFile' | 'writeFile' | 'scan' | 'pack' | 'unpack'> {
  read(path: string): Uint8Array | undefined
  write(path: string, data: Uint8Array | string): void
  remove(path: string): void
  /** The paths of all files. */
  list(): string[]
  isFolder(path: string): boolean
}

/** Makes the files of one sandbox in memory, under a workdir that is only a name. */
export function createMemoryFiles(workdir: string): MemoryFiles {
  const entries = new Map<string, Entry>()
  let inodes = 1

  /** The path with links resolved. The last name may be missing, and with `followLast` false it may be a link. */
  const resolve = (path: string, followLast = true): string => {
    const pending = namesInside(workdir, path)
    let at: string[] = []
    for (let links = 0; pending.length > 0; ) {
      const next = [...at, pending.shift() ?? '']
      const entry = entries.get(next.join('/'))
      if (entry?.kind === 'link' && (pending.length > 0 || followLast)) {
        if (++links > 40) throw notAFileError(path, 'behind too many links')
        const target = posix.resolve(workdir, ...at, entry.target)
        if (target !== workdir && !target.startsWith(`${workdir}/`)) throw outsideError(path, workdir)
        pending.unshift(...namesInside(workdir, target))
        at = []
      } else at = next
    }
    return at.join('/')
  }
  const put = (path: string, entry: Pick<Entry, 'kind'> & Partial<Entry>): void => {
    const now = Date.now()
    const fresh = { data: new Uint8Array(), target: '', mode: 0o755, mtimeMs: now, ctimeMs: now, inode: inodes++ }
    entries.set(path, { ...fresh, ...entry })
  }
  const makeFolders = (path: string, asked: string): void => {
    const parts = path.split('/')
    for (let length = 1; length < parts.length; length++) {
      const folder = parts.slice(0, length).join('/')
      const entry = entries.get(folder)
      if (entry === undefined) put(folder, { kind: 'folder' })
      else if (entry.kind !== 'folder') throw notAFileError(asked, 'under something that is no folder')
    }
  }
  const writeAt = (asked: string, data: Uint8Array, mode?: number): void => {
    const path = resolve(asked)
    const before = entries.get(path)
    if (path === '' || before?.kind === 'folder') throw notAFileError(asked, 'a folder')
    makeFolders(path, asked)
    put(path, { kind: 'file', data: data.slice(), mode: (mode ?? before?.mode ?? 0o644) & 0o777 })
  }
  const selected = function* (start: string, skip: ReadonlySet<string>, skipPaths: readonly string[] = []): Generator<[string, Entry]> {
    const left = skipPaths.filter((folder) => entries.get(folder)?.kind === 'folder')
    for (const [path, entry] of [...entries].sort(([one], [other]) => (one < other ? -1 : 1))) {
      if (start !== '' && path !== start && !path.startsWith(`${start}/`)) continue
      if (left.some((folder) => path === folder || path.startsWith(`${folder}/`))) continue
      const names = path.slice(start === '' ? 0 : start.length + 1).split('/')
      if (!names.some((name, index) => skip.has(name) && (index < names.length - 1 || entry.kind === 'folder'))) yield [path, entry]
    }
  }
  const startOf = (asked: string): string => {
    const path = resolve(asked, false)
    if (path !== '' && !entries.has(path)) throw notFoundError(asked)
    return path
  }

  return {
    async readFile(asked, options = {}) {
      throwIfAborted(options.signal, `reading ${asked}`)
      const path = resolve(asked)
      const entry = entries.get(path)
      if (path === '' || entry?.kind === 'folder') throw notAFileError(asked, 'a folder')
      if (entry === undefined) throw notFoundError(asked)
      if (entry.data.length > (options.maxBytes ?? Number.POSITIVE_INFINITY))
        throw new BatonError('FILE_TOO_LARGE', `${asked} has ${entry.data.length} bytes; at most ${options.maxBytes} were asked for.`)
      return entry.data.slice()
    },
    async writeFile(asked, data, options = {}) {
      throwIfAborted(options.signal, `writing ${asked}`)
      const { ifSha256 } = options
      const before = entries.get(resolve(asked))
      const found = before?.kind === 'file' ? createHash('sha256').update(before.data).digest('hex') : null
      if (ifSha256 !== undefined && ifSha256 !== found)
        throw new BatonError('FILE_CHANGED', `${asked} is not as expected. Read it again before writing.`, { details: { path: asked } })
      writeAt(asked, data, options.mode)
    },
    async *scan(options = {}) {
      const start = startOf(options.path ?? '.')
      for (const [path, entry] of selected(start, new Set(options.skip), options.skipPaths)) {
        throwIfAborted(options.signal, 'the scan')
        yield statOf(path, entry)
      }
    },
    pack(options = {}) {
      const members = async function* (): AsyncGenerator<Uint8Array> {
        for (const asked of options.paths ?? ['.']) {
          for (const [path, entry] of selected(startOf(asked), new Set(options.skip))) {
            throwIfAborted(options.signal, 'packing')
            yield memberOf(path, entry)
          }
        }
        yield tarEnd()
      }
      return ReadableStream.from(members())
    },
    async unpack(tar, options = {}) {
      await readTar(tar, workdir, options, async (member) => {
        const path = resolve(member.path, false)
        const before = entries.get(path)
        if (member.type === 'folder') {
          makeFolders(`${path}/`, member.path)
          if (path !== '') put(path, { kind: 'folder', mode: member.mode })
          return
        }
        if (path === '' || before?.kind === 'folder') throw notAFileError(member.path, 'a folder')
        makeFolders(path, member.path)
        entries.set(path, await entryOf(member, path))
      })
    },
    read(asked) {
      const entry = entries.get(resolve(asked))
      return entry?.kind === 'file' ? entry.data : undefined
    },
    write: (asked, data) => writeAt(asked, typeof data === 'string' ? Buffer.from(data) : data),
    remove(asked) {
      const start = startOf(asked)
      for (const [path] of selected(start, new Set())) entries.delete(path)
    },
    list: () => [...entries].filter(([, { kind }]) => kind === 'file').map(([path]) => path),
    isFolder(asked) {
      const path = resolve(asked)
      return path === '' || entries.get(path)?.kind === 'folder'
    },
  }

  async function entryOf(member: TarMember, path: string): Promise<Entry> {
    const { mode, mtime, target } = member
    if (member.type === 'hardlink') {
      const source = entries.get(resolve(target, false))
      if (source?.kind !== 'file') throw notAFileError(target, 'what a hard link in the archive points to, and it is no file there')
      return source
    }
    if (member.type === 'other') throw notAFileError(path, 'a pipe or device in the archive')
    const chunks: Uint8Array[] = []
    for await (const chunk of member.content) chunks.push(chunk)
    const times = { mtimeMs: mtime.getTime(), ctimeMs: Date.now(), inode: inodes++ }
    return { kind: member.type, data: Buffer.concat(chunks), target, mode: member.type === 'link' ? 0o777 : mode, ...times }
  }
}

function statOf(path: string, { kind, data, target, mode, mtimeMs, ctimeMs, inode }: Entry): FileStat {
  return { path, kind, size: kind === 'link' ? Buffer.byteLength(target) : data.length, mode, mtimeMs, ctimeMs, inode }
}

function memberOf(path: string, { kind, data, target, mode, mtimeMs }: Entry): Uint8Array {
  const header = { type: kind, name: pathToBytes(path), target: pathToBytes(target), size: data.length, mode, mtimeMs }
  return Buffer.concat([encodeTarHeader(header), data, tarPadding(data.length)])
}
