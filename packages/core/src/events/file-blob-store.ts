import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { abortedError, BatonError, throwIfAborted } from '../errors.ts'
import { parseOptions } from '../options.ts'
import { blobRefOf, unknownBlobError } from './blob-ref.ts'
import type { BlobStore } from './blob-store.ts'
import { makeDurableFolder, syncNames } from './durable-file.ts'
import { BlobRef } from './envelope.ts'
import { codeOf, fileError } from './store-errors.ts'

/** A half-written blob of a process that died is removed when it is so old. */
const leftoverMs = 3_600_000

/** Options of {@link createFileBlobStore}. */
export interface FileBlobStoreOptions {
  /** A folder, made when needed. Several processes may use the same one at once. */
  readonly dir: string
}

const Options = z.object({ dir: z.string().min(1, 'expected the path of a folder') })

/** Keeps each blob in a file named by its SHA-256, two folders deep: `<dir>/ab/cd/abcd…`. A blob is whole or not there. */
export function createFileBlobStore(options: FileBlobStoreOptions): BlobStore {
  const dir = resolve(parseOptions('createFileBlobStore', Options, options).dir)
  const aside = join(dir, 'tmp')
  let prepared: Promise<void> | undefined

  async function prepare(): Promise<void> {
    makeDurableFolder(aside)
    for (const name of await readdir(aside)) {
      const path = join(aside, name)
      const found = await stat(path).catch(() => undefined)
      if (found && Date.now() - found.mtimeMs > leftoverMs) await rm(path, { force: true })
    }
  }

  async function write(path: string, data: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const temporary = join(aside, randomBytes(12).toString('hex'))
    try {
      const file = await open(temporary, 'wx')
      try {
        await file.writeFile(data, { signal })
        await file.datasync()
      } finally {
        await file.close()
      }
      throwIfAborted(signal, 'Storing a blob')
      makeDurableFolder(dirname(path))
      await rename(temporary, path)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }

  return {
    async put(data, { signal } = {}) {
      throwIfAborted(signal, 'Storing a blob')
      const ref = blobRefOf(data)
      const path = pathOf(dir, ref)
      try {
        const there = await stat(path).catch(() => undefined)
        if (there?.size !== ref.bytes) {
          prepared ??= prepare()
          await prepared
          await write(path, data, signal)
        }
        // Also when it was there: whoever wrote it may not have come so far.
        await syncNames(dirname(path))
        return ref
      } catch (error) {
        prepared = undefined
        throw signal?.aborted ? abortedError(signal, 'Storing a blob') : fileError(error, `Storing a blob of ${ref.bytes} bytes`)
      }
    },
    async get(ref, { signal } = {}) {
      throwIfAborted(signal, 'Reading a blob')
      parseOptions('BlobStore.get', BlobRef, ref)
      const path = pathOf(dir, ref)
      const data = await readFile(path, { signal }).catch((error: unknown) => {
        if (signal?.aborted) throw abortedError(signal, 'Reading a blob')
        throw codeOf(error) === 'ENOENT' ? unknownBlobError(ref) : fileError(error, `Reading the blob ${ref.sha256}`)
      })
      const found = blobRefOf(data)
      if (found.sha256 !== ref.sha256 || found.bytes !== ref.bytes) {
        throw new BatonError(
          'CORRUPT_LOG',
          `${path}: the blob's content does not fit its reference: ${found.bytes} bytes with SHA-256 ${found.sha256}.`,
          {
            details: { file: path, expected: ref, found },
          },
        )
      }
      return data
    },
  }
}

function pathOf(dir: string, { sha256 }: BlobRef): string {
  return join(dir, sha256.slice(0, 2), sha256.slice(2, 4), sha256)
}
