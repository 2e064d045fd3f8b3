import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { codeOf, fileError } from '../events/store-errors.ts'
import type { PackedHead, PackedObject, PackFile } from './pack-file.ts'
import { openPackFile } from './pack-file.ts'
import type { PackIndex } from './pack-index.ts'
import { parsePackIndex } from './pack-index.ts'
import type { FinishedPack } from './pack-writer.ts'

/** A pack in its place. */
export interface PackInfo {
  /** Without extension. */
  readonly name: string
  readonly bytes: number
}

/** Where an object is. */
export interface ObjectPlace {
  readonly pack: PackInfo
  readonly position: number
}

/**
 * The packs of a ledger, also those that other processes write, merge and remove meanwhile: what is not found is looked for again in a new listing. Keeps at
 * most 64 MiB of indexes and 32 open files.
 */
export interface PackFolder {
  /** Whether an object is there as far as is known; one that another process wrote just now may be overlooked. */
  has(oid: string): boolean
  find(oid: string): ObjectPlace | undefined
  read(oid: string): PackedObject | undefined
  /** Type and size. */
  head(oid: string): PackedHead | undefined
  /** The packs, as last listed. */
  list(): readonly PackInfo[]
  /** The index of a pack that was listed, or undefined when it is gone. */
  index(pack: PackInfo): PackIndex | undefined
  /** Lists anew, and says whether something is different. */
  refresh(): boolean
  /** Takes over a pack that was just put in its place. */
  add(pack: FinishedPack): void
  close(): void
}

const openFiles = 32
const indexBytes = 67_108_864

/** Reads the packs in `<dir>/objects/pack`. */
export function createPackFolder(dir: string, folder: string): PackFolder {
  const packs = new Map<string, PackInfo>()
  const indexes = new Map<string, PackIndex>()
  const files = new Map<string, PackFile>()
  let indexedBytes = 0
  let isListed = false

  /** Runs on a pack's file; undefined when the pack was merged into another one, or pruned. */
  function ifThere<T>(name: string, read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw fileError(error, `Reading the pack ${join(folder, name)}`)
      forget(name)
      return undefined
    }
  }

  function forget(name: string): void {
    packs.delete(name)
    dropIndex(name)
    files.get(name)?.close()
    files.delete(name)
  }

  function dropIndex(name: string): void {
    indexedBytes -= indexes.get(name)?.bytes ?? 0
    indexes.delete(name)
  }

  function keepIndex(name: string, index: PackIndex): void {
    dropIndex(name)
    indexes.set(name, index)
    indexedBytes += index.bytes
    for (const oldest of indexes.keys()) {
      if (indexedBytes <= indexBytes || oldest === name) return
      dropIndex(oldest)
    }
  }

  function indexOf({ name }: PackInfo): PackIndex | undefined {
    const known = indexes.get(name)
    if (known) return known
    const path = join(folder, `${name}.idx`)
    const index = ifThere(name, () => parsePackIndex(readFileSync(path), dir, path))
    if (index) keepIndex(name, index)
    return index
  }

  function fileOf({ name }: PackInfo): PackFile | undefined {
    const file = files.get(name) ?? ifThere(name, () => openPackFile(join(folder, `${name}.pack`), dir))
    if (!file) return undefined
    files.delete(name)
    files.set(name, file)
    if (files.size > openFiles) {
      const [oldest] = files.keys()
      files.get(oldest ?? '')?.close()
      files.delete(oldest ?? '')
    }
    return file
  }

  function locate(oid: string): ObjectPlace | undefined {
    if (!isListed) refresh()
    const key = Buffer.from(oid, 'hex')
    for (const pack of packs.values()) {
      const position = indexOf(pack)?.position(key) ?? -1
      if (position >= 0) return { pack, position }
    }
    return undefined
  }

  function find(oid: string): ObjectPlace | undefined {
    for (;;) {
      const place = locate(oid)
      if (place || !refresh()) return place
    }
  }

  function refresh(): boolean {
    isListed = true
    const names = new Set(readNames().flatMap((name) => (name.endsWith('.idx') ? name.slice(0, -4) : [])))
    const gone = [...packs.keys()].filter((name) => !names.has(name))
    for (const name of gone) forget(name)
    const before = packs.size
    for (const name of names) {
      if (name.startsWith('pack-') && !packs.has(name))
        ifThere(name, () => packs.set(name, { name, bytes: statSync(join(folder, `${name}.pack`)).size }))
    }
    return gone.length > 0 || packs.size > before
  }

  function readNames(): string[] {
    try {
      return readdirSync(folder)
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return []
      throw fileError(error, `Reading the folder ${folder}`)
    }
  }

  /** Runs on the file and offset of an object, again when its pack goes away in between. */
  function at<T>(oid: string, read: (file: PackFile, offset: number) => T): T | undefined {
    for (;;) {
      const place = find(oid)
      if (!place) return undefined
      const file = fileOf(place.pack)
      const offset = indexOf(place.pack)?.offsetAt(place.position)
      if (file && offset !== undefined) return read(file, offset)
    }
  }

  return {
    has: (oid) => locate(oid) !== undefined,
    find,
    read: (oid) => at(oid, (file, offset) => file.readAt(offset)),
    head: (oid) => at(oid, (file, offset) => file.headAt(offset)),
    list: () => [...packs.values()],
    index: indexOf,
    refresh,
    add({ name, bytes, index }) {
      packs.set(name, { name, bytes })
      keepIndex(name, parsePackIndex(index, dir, join(folder, `${name}.idx`)))
    },
    close() {
      for (const name of [...packs.keys()]) forget(name)
      isListed = false
    },
  }
}
