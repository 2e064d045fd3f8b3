import { BatonError } from '../errors.ts'
import { pathToBytes } from './path-bytes.ts'
import type { PackOptions, Sandbox } from './sandbox.ts'
import { encodeTarHeader, tarEnd, tarPadding } from './tar-header.ts'
import type { TarMember } from './tar-reader.ts'
import { readTar } from './tar-reader.ts'

/** A written file. */
interface Written {
  readonly proposed: Uint8Array
  readonly mode: number | undefined
}

/** What a sandbox packs, with the written files in place of those that are there, and the new ones behind them. */
export function packOverlay(
  real: Sandbox,
  overlaid: Sandbox,
  staged: ReadonlyMap<string, Written>,
  options: PackOptions,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  packAll(real, overlaid, staged, options, (bytes) => writer.write(bytes))
    .then(
      () => writer.close(),
      (error: unknown) => writer.abort(error),
    )
    // Who reads it is told of what went wrong, or has cancelled.
    .catch(() => {})
  return readable
}

type Write = (bytes: Uint8Array) => Promise<void>

async function packAll(
  real: Sandbox,
  overlaid: Sandbox,
  staged: ReadonlyMap<string, Written>,
  options: PackOptions,
  write: Write,
): Promise<void> {
  const packed = new Set<string>()
  const asked = options.paths ?? ['.']
  const there: string[] = []
  for (const path of asked) if (await isThere(real, path)) there.push(path)
  if (there.length > 0) {
    await readTar(real.pack({ ...options, paths: there }), real.workdir, options, async (member) => {
      packed.add(member.path)
      await packMember(real, member, staged.get(member.path), write)
    })
  }
  for (const path of asked) {
    for await (const { path: found, kind, mode, mtimeMs } of overlaid.scan({ path, skip: options.skip, signal: options.signal })) {
      if (packed.has(found)) continue
      packed.add(found)
      const content = kind === 'folder' ? undefined : staged.get(found)?.proposed
      // What came up between the packing and this look is left for the next.
      if (kind !== 'folder' && !content) continue
      await packFile({ name: pathToBytes(found), mode, mtimeMs, type: content ? 'file' : 'folder' }, content, write)
    }
  }
  await write(tarEnd())
}

async function isThere(real: Sandbox, path: string): Promise<boolean> {
  try {
    for await (const _ of real.scan({ path })) return true
    return true
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return false
    throw error
  }
}

async function packMember(real: Sandbox, member: TarMember, over: Written | undefined, write: Write): Promise<void> {
  const { path, type, target, mode, mtime, size } = member
  const header = { name: pathToBytes(path === '' ? '.' : path), mode, mtimeMs: mtime.getTime() }
  // The file that it is another name of may be packed with other content by now, and writing does not change this one.
  if (type === 'hardlink') return packFile({ ...header, type: 'file' }, over?.proposed ?? (await real.readFile(path)), write)
  if (over && type === 'file') return packFile({ ...header, mode: over.mode ?? mode, type }, over.proposed, write)
  if (type === 'other') return
  await write(encodeTarHeader({ ...header, type, target: pathToBytes(target), size: type === 'file' ? size : 0 }))
  if (type !== 'file') return
  for await (const chunk of member.content) await write(chunk)
  await write(tarPadding(size))
}

type Header = Pick<Parameters<typeof encodeTarHeader>[0], 'name' | 'mode' | 'mtimeMs' | 'type'>

async function packFile(header: Header, content: Uint8Array = new Uint8Array(), write: Write): Promise<void> {
  await write(encodeTarHeader({ ...header, size: content.length }))
  await write(content)
  await write(tarPadding(content.length))
}
