import { createHash } from 'node:crypto'
import { chmod, link, mkdir, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createMemorySandboxProvider } from '../testing/memory-sandbox.ts'
import { createLocalSandboxProvider } from './local-sandbox.ts'
import type { Overlay } from './overlay-sandbox.ts'
import { createOverlaySandbox } from './overlay-sandbox.ts'
import type { FileStat, Sandbox, ScanOptions } from './sandbox.ts'

let root: string
let work: string
let real: Sandbox
let overlay: Overlay
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'baton-overlay-')))
  work = join(root, 'work')
  await mkdir(join(work, 'src'), { recursive: true })
  await writeFile(join(work, 'a.txt'), 'a\n')
  await writeFile(join(work, 'src/b.txt'), 'b\n')
  real = await createLocalSandboxProvider({ root: join(root, 'sandboxes'), isolation: 'none' }).create({ inPlace: work })
  overlay = createOverlaySandbox(real)
})
afterEach(async () => {
  await real.close()
  await rm(root, { recursive: true, force: true })
})

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
const bytes = (text: string) => new TextEncoder().encode(text)
const refused = (code: string) => expect.objectContaining({ code })
const write = (path: string, text: string, options = {}) => overlay.sandbox.writeFile(path, Buffer.from(text), options)
const read = async (path: string) => Buffer.from(await overlay.sandbox.readFile(path)).toString()

async function scan(options: ScanOptions = {}): Promise<Map<string, FileStat>> {
  const found = new Map<string, FileStat>()
  for await (const stat of overlay.sandbox.scan(options)) {
    expect(found.has(stat.path)).toBe(false)
    found.set(stat.path, stat)
  }
  return found
}

/** Everything in a folder, as text by path. */
async function contentsOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file.slice(folder.length + 1), await readFile(file, 'utf8')])))
}

describe('createOverlaySandbox', () => {
  it('keeps what is written to itself, and reads it back', async () => {
    const before = await contentsOf(work)
    const data = Buffer.from('A\n')
    await overlay.sandbox.writeFile('a.txt', data, { ifSha256: sha256('a\n') })
    data.fill('x')
    await write('new/deep/c.txt', 'c\n', { ifSha256: null, mode: 0o755 })
    await write('new/deep/c.txt', 'C\n', { ifSha256: sha256('c\n') })
    expect([await read('a.txt'), await read(`${work}/new/../a.txt`), await read('./new/deep//c.txt')]).toEqual(['A\n', 'A\n', 'C\n'])
    expect(await read('src/b.txt')).toBe('b\n')
    expect(await contentsOf(work)).toEqual(before)
    expect([...overlay.staged]).toMatchObject([
      ['a.txt', { base: bytes('a\n'), proposed: bytes('A\n'), mode: undefined }],
      ['new/deep/c.txt', { base: undefined, proposed: bytes('C\n'), mode: 0o755 }],
    ])
    expect(overlay.needed).toBeUndefined()
  })

  it('holds writers to the hash that they expect of what they would find', async () => {
    await expect(write('a.txt', 'x', { ifSha256: sha256('x') })).rejects.toThrow(refused('FILE_CHANGED'))
    await expect(write('a.txt', 'x', { ifSha256: null })).rejects.toThrow(refused('FILE_CHANGED'))
    await expect(write('none.txt', 'x', { ifSha256: sha256('x') })).rejects.toThrow(refused('FILE_CHANGED'))
    await write('a.txt', 'mine')
    await expect(write('a.txt', 'x', { ifSha256: sha256('a\n') })).rejects.toThrow(refused('FILE_CHANGED'))
    const both = await Promise.allSettled([write('n', '1', { ifSha256: null }), write('n', '2', { ifSha256: null })])
    expect(both.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('refuses what the real one refuses', async () => {
    await symlink(root, join(work, 'out'))
    await symlink('src', join(work, 'in'))
    for (const path of ['../x', '/etc/x', 'out/x', 'src/../../x'])
      await expect(write(path, 'x')).rejects.toThrow(refused('PATH_OUTSIDE_WORKDIR'))
    for (const path of ['src', '.', '', 'a.txt/x', 'a.txt/x/y', 'src/b.txt/x']) {
      await expect(real.writeFile(path, Buffer.from('x'))).rejects.toThrow(refused('NOT_A_FILE'))
      await expect(write(path, 'x')).rejects.toThrow(refused('NOT_A_FILE'))
    }
    await expect(write('a\0', 'x')).rejects.toThrow(refused('INVALID_OPTIONS'))
    await expect(write('a.txt', 'x', { signal: AbortSignal.abort() })).rejects.toThrow(refused('ABORTED'))
    await expect(overlay.sandbox.readFile('none')).rejects.toThrow(refused('FILE_NOT_FOUND'))
    expect(overlay.staged.size).toBe(0)
    await write('in/new.txt', 'x')
    await write('folder/file', 'x')
    await expect(write('folder', 'x')).rejects.toThrow(refused('NOT_A_FILE'))
    await expect(overlay.sandbox.readFile('folder')).rejects.toThrow(refused('NOT_A_FILE'))
    await expect(write('folder/file/x', 'x')).rejects.toThrow(refused('NOT_A_FILE'))
    await expect(overlay.sandbox.readFile('folder/file', { maxBytes: 0 })).rejects.toThrow(refused('FILE_TOO_LARGE'))
    expect(overlay.needed).toBeUndefined()
  })

  it('is scanned as if it had been written', async () => {
    await chmod(join(work, 'a.txt'), 0o755)
    await write('a.txt', 'longer\n')
    await write('src/new/c.txt', 'c\n')
    await write('node_modules/x/d.txt', 'd\n')
    const all = await scan()
    for (const [path, kind] of [
      ['a.txt', 'file'],
      ['src', 'folder'],
      ['src/new', 'folder'],
      ['src/new/c.txt', 'file'],
      ['node_modules/x', 'folder'],
    ])
      expect(all.get(path as string)?.kind).toBe(kind)
    expect(all.get('a.txt')).toMatchObject({ size: 7, mode: 0o755 })
    const paths = async (options: ScanOptions) => [...(await scan(options)).keys()].filter((path) => path !== '').sort()
    expect(await paths({ skip: ['node_modules', 'src'] })).toEqual(['a.txt'])
    expect(await paths({ skipPaths: ['src/new', 'node_modules'] })).toEqual(['a.txt', 'src', 'src/b.txt'])
    expect(await paths({ path: 'src/new' })).toEqual(['src/new', 'src/new/c.txt'])
    expect(await paths({ path: 'src/new/c.txt' })).toEqual(['src/new/c.txt'])
    await expect(scan({ path: 'nowhere' })).rejects.toThrow(refused('FILE_NOT_FOUND'))
  })

  it('is packed as if it had been written, in the real sandbox and in that of another backend', async () => {
    await link(join(work, 'a.txt'), join(work, 'z-linked.txt'))
    await symlink('a.txt', join(work, 'link'))
    await write('a.txt', 'A\n', { mode: 0o700 })
    await write('src/new/c.txt', 'c\n')
    const provider = createLocalSandboxProvider({ root: join(root, 'copies'), isolation: 'none' })
    const unpacked = async (paths?: string[]) => {
      const copy = await provider.create({})
      await copy.unpack(overlay.sandbox.pack(paths && { paths }))
      return contentsOf(copy.workdir)
    }
    expect(await unpacked()).toEqual({ 'a.txt': 'A\n', 'src/b.txt': 'b\n', 'src/new/c.txt': 'c\n', 'z-linked.txt': 'a\n' })
    expect(await unpacked(['src/new', 'a.txt'])).toEqual({ 'a.txt': 'A\n', 'src/new/c.txt': 'c\n' })
    await expect(unpacked(['src/new', 'nowhere'])).rejects.toThrow(refused('FILE_NOT_FOUND'))
    const memory = await createMemorySandboxProvider().create({})
    await memory.unpack(overlay.sandbox.pack())
    expect(Buffer.from(await memory.readFile('src/new/c.txt')).toString()).toBe('c\n')
  })

  it('says so where something is asked for that only the real sandbox can do', async () => {
    const { sandbox } = overlay
    await expect(sandbox.spawn('touch x')).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_STATE', details: { needs: 'running a command' } }),
    )
    await expect(sandbox.unpack(new ReadableStream())).rejects.toThrow(refused('INVALID_STATE'))
    await expect(sandbox.attachProcess?.('0', { stdoutFrom: 0, stderrFrom: 0 })).rejects.toThrow(refused('INVALID_STATE'))
    expect(overlay.needed).toBe('running a command')
    await sandbox.close()
    expect(await read('a.txt')).toBe('a\n')
  })

  it('holds no files of more than 16 MiB', async () => {
    await writeFile(join(work, 'large'), Buffer.alloc(17 * 1024 * 1024))
    await expect(write('large', 'small')).rejects.toThrow(refused('INVALID_STATE'))
    expect(overlay.needed).toContain('large')
    const other = createOverlaySandbox(real)
    await expect(other.sandbox.writeFile('a.txt', Buffer.alloc(17 * 1024 * 1024))).rejects.toThrow(refused('INVALID_STATE'))
    expect(other.needed).toContain('a.txt')
  })
})
