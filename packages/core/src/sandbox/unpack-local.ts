import { closeSync, constants, fchmodSync, futimesSync, openSync, unlinkSync, writeFileSync } from 'node:fs'
import { link, mkdir, open, symlink, unlink } from 'node:fs/promises'
import type { Abortable } from '../options.ts'
import type { HeldPlace } from './local-folder.ts'
import { holdPlace, notAFileError } from './local-folder.ts'
import { fsPath } from './path-bytes.ts'
import type { TarMember } from './tar-reader.ts'
import { readTar } from './tar-reader.ts'

const createFlags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_NOFOLLOW
const folderFlags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
/** A file up to this size is written at once and synchronously, which takes a tenth of the time. */
const smallBytes = 64 * 1024

/**
 * Unpacks a tar stream, member by member, no faster than the disk takes it. Files and links that are in the way are replaced, folders are
 * joined. Owners are not taken over, nor the setuid, setgid and sticky bits. A link is made as it is, wherever it points; no member is written
 * through one that leads out. What was unpacked before a member that is refused stays.
 *
 * @throws BatonError `PATH_OUTSIDE_WORKDIR` for a member or hard link that would lead out, `NOT_A_FILE` for a pipe or device, or a file where
 * a folder is; `SANDBOX_FAILED` for a stream that is no whole tar.
 */
export async function unpackLocal(workdir: string, tar: ReadableStream<Uint8Array>, options: Abortable = {}): Promise<void> {
  const folders = new Map<string, TarMember>()
  await readTar(tar, workdir, options, async (member) => {
    if (member.type === 'folder') folders.set(member.path, member)
    await unpackMember(workdir, member)
  })
  for (const folder of [...folders.values()].reverse()) await finishFolder(workdir, folder)
}

async function unpackMember(workdir: string, member: TarMember): Promise<void> {
  const place = holdPlace(workdir, member.path, { makeFolders: true, followLast: false })
  try {
    if (member.type === 'folder') return await unpackFolder(place)
    if (place.name === '' || place.stats?.isDirectory()) throw notAFileError(member.path, 'a folder')
    if (member.type === 'file') await unpackFile(place, member)
    else if (member.type === 'link') await replace(place, (entry) => symlink(fsPath(member.target), entry))
    else if (member.type === 'hardlink') await unpackHardLink(workdir, place, member)
    else throw notAFileError(member.path, 'a pipe or device in the archive')
  } finally {
    place.close()
  }
}

async function unpackFolder(place: HeldPlace): Promise<void> {
  if (place.name === '' || place.stats?.isDirectory()) return
  await replace(place, (entry) => mkdir(entry, 0o755))
}

async function unpackFile(place: HeldPlace, member: TarMember): Promise<void> {
  if (member.size <= smallBytes) return unpackSmallFile(place, member, await wholeOf(member.content))
  await replace(place, async (entry) => {
    const handle = await open(entry, createFlags, 0o600)
    try {
      for await (const chunk of member.content) await handle.writeFile(chunk)
      await handle.chmod(member.mode)
      await handle.utimes(member.mtime, member.mtime)
    } finally {
      await handle.close()
    }
  })
}

async function wholeOf(content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of content) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function unpackSmallFile(place: HeldPlace, member: TarMember, content: Buffer): void {
  const entry = place.entry(place.name)
  if (place.stats !== undefined) unlinkSync(entry)
  const fd = openSync(entry, createFlags, 0o600)
  try {
    writeFileSync(fd, content)
    fchmodSync(fd, member.mode)
    futimesSync(fd, member.mtime, member.mtime)
  } finally {
    closeSync(fd)
  }
}

async function unpackHardLink(workdir: string, place: HeldPlace, member: TarMember): Promise<void> {
  const source = holdPlace(workdir, member.target, { followLast: false })
  try {
    if (!source.stats?.isFile()) throw notAFileError(member.target, 'what a hard link in the archive points to, and it is no file there')
    if (source.stats.ino === place.stats?.ino && source.stats.dev === place.stats.dev) return
    await replace(place, (entry) => link(source.entry(source.name), entry))
  } finally {
    source.close()
  }
}

/** Makes an entry, in the place of a file or link that is there. */
async function replace(place: HeldPlace, make: (entry: string | Buffer) => Promise<unknown>): Promise<void> {
  const entry = place.entry(place.name)
  if (place.stats !== undefined) await unlink(entry)
  await make(entry)
}

/** Permissions and times of a folder come last: while it is being filled they would be in the way. */
async function finishFolder(workdir: string, member: TarMember): Promise<void> {
  const place = holdPlace(workdir, member.path, { followLast: false })
  try {
    if (place.name === '' || !place.stats?.isDirectory()) return
    const handle = await open(place.entry(place.name), folderFlags)
    try {
      await handle.chmod(member.mode)
      await handle.utimes(member.mtime, member.mtime)
    } finally {
      await handle.close()
    }
  } finally {
    place.close()
  }
}
