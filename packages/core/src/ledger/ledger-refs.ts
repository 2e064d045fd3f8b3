import { readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { removeFile, syncNames } from '../events/durable-file.ts'
import { fileError } from '../events/store-errors.ts'
import { objectIdPattern } from './git-object.ts'
import { damagedError } from './ledger-errors.ts'
import type { LedgerFolder } from './ledger-folder.ts'
import { readIfThere } from './ledger-folder.ts'

/** The refs of a ledger. A ref that a person made with git counts too. */
export interface LedgerRefs {
  /** Throws `LEDGER_DAMAGED` where it says something else than an object's id. */
  get(taskId: string): string | undefined
  set(taskId: string, commit: string): Promise<void>
  /** Every ref by its full name. */
  all(): ReadonlyMap<string, string>
  remove(taskIds: readonly string[]): Promise<void>
}

export function createLedgerRefs(folder: LedgerFolder): LedgerRefs {
  const { dir, refs } = folder
  const packedFile = join(dir, 'packed-refs')

  function parse(text: string, name: string): string {
    const oid = text.trimEnd()
    if (objectIdPattern.test(oid)) return oid
    throw damagedError(dir, `has the ref ${name}, which names no object`, { ref: name })
  }

  /** What `git pack-refs` made of refs, which a file of their own overrules. */
  function packed(): ReadonlyMap<string, string> {
    const lines = (readIfThere(packedFile) ?? '').matchAll(/^([0-9a-f]{40}) (refs\/.+)$/gm)
    return new Map(Array.from(lines, ([, oid = '', name = '']) => [name, oid]))
  }

  return {
    get(taskId) {
      const name = `refs/baton/${taskId}`
      const text = readIfThere(join(refs, taskId))
      return text === undefined ? packed().get(name) : parse(text, name)
    },
    async set(taskId, commit) {
      await folder.replace(join(refs, taskId), `${commit}\n`)
    },
    all() {
      const found = new Map(packed())
      for (const path of ['HEAD', ...filesBelow(dir, 'refs')]) {
        const text = readIfThere(join(dir, path))
        // A symbolic one leads to another one.
        if (text !== undefined && !text.startsWith('ref:')) found.set(path, parse(text, path))
      }
      return found
    },
    async remove(taskIds) {
      const names = new Set(taskIds.map((taskId) => `refs/baton/${taskId}`))
      const text = readIfThere(packedFile) ?? ''
      const kept = text.split('\n').filter((line) => !names.has(line.slice(41)))
      if (kept.join('\n') !== text) await folder.replace(packedFile, kept.join('\n'))
      try {
        for (const taskId of taskIds) removeFile(join(refs, taskId))
        await syncNames(refs)
      } catch (error) {
        throw fileError(error, `Removing refs of ${dir}`)
      }
    },
  }
}

function filesBelow(dir: string, folder: string): string[] {
  const entries = readdirSync(join(dir, folder), { recursive: true, withFileTypes: true })
  return entries.flatMap((entry) =>
    entry.isFile() && !entry.name.endsWith('.lock') ? [relative(dir, join(entry.parentPath, entry.name)).split(sep).join('/')] : [],
  )
}
