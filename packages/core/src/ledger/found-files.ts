import type { Abortable } from '../options.ts'
import type { FileStat, Sandbox } from '../sandbox/sandbox.ts'
import { objectId } from './git-object.ts'
import type { Ledger, LedgerFile } from './ledger.ts'
import type { FoundContent } from './read-contents.ts'
import { readContents } from './read-contents.ts'

/** What is in a sandbox, and at some of its paths in full. */
export interface FoundFiles {
  /** Everything, by path. */
  readonly stats: ReadonlyMap<string, FileStat>
  /** What the paths that were asked for hold; none where there is no file or link, or it cannot be read. */
  readonly contents: ReadonlyMap<
    string,
    Pick<FoundContent, 'link' | 'sha256'> & { readonly oid: string; readonly target?: Uint8Array | undefined }
  >
  /** Whether a path is as a file of the ledger; where that is undefined: whether there is nothing, or a folder. */
  is(path: string, file: LedgerFile | undefined): boolean
}

/** Folders with very many files that are no one's work. */
const skipped = ['.git', 'node_modules']
/** Read as a whole, at most; no ledger keeps larger content. */
const maxFileBytes = 2 ** 30
const pointerHash = /\noid sha256:([0-9a-f]{64})\n/

/** Looks at what is in a sandbox at these paths, and what they are to be compared with. */
export async function findFiles(
  sandbox: Sandbox,
  ledger: Ledger,
  compared: readonly { readonly path: string; readonly files: readonly (LedgerFile | undefined)[] }[],
  { signal }: Abortable,
): Promise<FoundFiles> {
  const names = new Set(compared.flatMap(({ path }) => path.split('/')))
  const stats = new Map<string, FileStat>()
  for await (const stat of sandbox.scan({ signal, skip: skipped.filter((name) => !names.has(name)) })) stats.set(stat.path, stat)
  const contents = new Map<string, FoundFiles['contents'] extends ReadonlyMap<string, infer C> ? C : never>()
  const read = async (limit: number, wanted: typeof compared): Promise<void> => {
    const there = wanted.flatMap(({ path }) => stats.get(path) ?? []).filter(({ kind }) => kind === 'file' || kind === 'link')
    await readContents(sandbox, there, {
      maxFileBytes: limit,
      signal,
      onRead({ path }, outcome) {
        if (typeof outcome === 'string') return
        const { link, sha256, content } = outcome
        contents.set(path, { link, sha256, oid: objectId('blob', content), ...(link && { target: content }) })
      },
    })
  }
  const hashOnly = new Set(
    compared.filter(({ files }) => files.some((file) => file?.hashOnly) && files.every((file) => file?.hashOnly ?? true)),
  )
  await read(0, [...hashOnly])
  await read(
    maxFileBytes,
    compared.filter((one) => !hashOnly.has(one)),
  )
  const hashes = await hashesOf(
    ledger,
    compared.flatMap(({ files }) => files.filter((file) => file?.hashOnly)),
  )
  return {
    stats,
    contents,
    is(path, file) {
      const [stat, content] = [stats.get(path), contents.get(path)]
      if (!file) return stat === undefined || stat.kind === 'folder'
      if (!stat) return false
      if (!content || content.link !== (file.mode === '120000')) return false
      if (!content.link && (stat.mode & 0o100) > 0 !== (file.mode === '100755')) return false
      const hash = hashes.get(file.oid)
      return hash === undefined ? content.oid === file.oid : content.sha256 === hash
    },
  }
}

/** SHA-256 of contents that are not kept, by the id of the pointer to them. */
async function hashesOf(ledger: Ledger, files: readonly (LedgerFile | undefined)[]): Promise<ReadonlyMap<string, string>> {
  const hashes = new Map<string, string>()
  for (const file of files) {
    const hash = file && pointerHash.exec(Buffer.from(await ledger.read(file)).toString('latin1'))?.[1]
    if (file && hash) hashes.set(file.oid, hash)
  }
  return hashes
}
