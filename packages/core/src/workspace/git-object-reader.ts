import { BatonError } from '../errors.ts'
import type { GitObject } from './git-objects.ts'
import type { GitOptions } from './git-process.ts'
import { startGit } from './git-process.ts'

/** One git process that gives out objects. */
export interface ObjectReader {
  /** Rejects with `UNSUPPORTED_REPOSITORY` where there is no such object. */
  read(oid: string): Promise<GitObject>
  close(): Promise<void>
}

/** Starts `git cat-file --batch`: its answers come in the order of the questions. Source: git-cat-file(1), "Batch output". */
export function startObjectReader(place: readonly string[], options: GitOptions): ObjectReader {
  const child = startGit([...place, 'cat-file', '--batch'], options)
  const waiting: { done(object: GitObject): void; fail(error: unknown): void; oid: string }[] = []
  let chunks: Buffer[] = []
  let have = 0
  let wanted = 0
  const failed = (oid: string): BatonError =>
    new BatonError(
      'UNSUPPORTED_REPOSITORY',
      `The repository lacks the object ${oid}. Fetch it (a partial clone: git fetch --refetch), then try again.`,
      {
        details: { oid },
      },
    )

  const answer = (): void => {
    while (waiting.length > 0 && have >= wanted) {
      const bytes = chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
      chunks = [bytes]
      const end = bytes.indexOf(0x0a)
      if (end < 0) return
      const [, type, size] = bytes.toString('latin1', 0, end).split(' ')
      const total = size === undefined ? end + 1 : end + 1 + Number(size) + 1
      wanted = total
      if (bytes.length < total) return
      const next = waiting.shift()
      chunks = [bytes.subarray(total)]
      have = bytes.length - total
      wanted = 0
      if (size === undefined) next?.fail(failed(next.oid))
      else next?.done({ type: type as GitObject['type'], content: Uint8Array.from(bytes.subarray(end + 1, total - 1)) })
    }
  }

  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    have += chunk.length
    answer()
  })
  const closed = new Promise<void>((done) => {
    const end = (): void => {
      for (const { fail, oid } of waiting.splice(0)) fail(failed(oid))
      done()
    }
    child.once('error', end)
    child.once('close', end)
  })
  child.stdin.on('error', () => {})
  child.stderr.resume()
  return {
    read(oid) {
      return new Promise((done, fail) => {
        if (child.exitCode !== null || child.stdin.destroyed) return fail(failed(oid))
        waiting.push({ done, fail, oid })
        child.stdin.write(`${oid}\n`)
      })
    },
    async close() {
      child.stdin.end()
      await closed
    },
  }
}
