import type { Sandbox } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'
import { folderOf } from './tool-paths.ts'
import { workspaceFiles } from './workspace-files.ts'

/** Existing files whose names are like a path that is not there: of the same name elsewhere first, then those spelled nearly the same. */
export async function similarPaths(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<string[]> {
  try {
    const { entries } = await workspaceFiles(sandbox, '.', signal)
    const name = path.slice(path.lastIndexOf('/') + 1)
    return entries
      .flatMap((entry) => {
        const distance = unlikeness(entry.path, path, name)
        return distance === undefined ? [] : [{ path: entry.path, distance }]
      })
      .sort((a, b) => a.distance - b.distance)
      .slice(0, 5)
      .map((candidate) => candidate.path)
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return []
    throw error
  }
}

function unlikeness(candidate: string, path: string, name: string): number | undefined {
  const own = candidate.slice(candidate.lastIndexOf('/') + 1)
  const sameFolder = folderOf(candidate) === folderOf(path)
  if (own === name) return 0
  if (own.toLowerCase() === name.toLowerCase()) return sameFolder ? 0 : 1
  if (Math.abs(own.length - name.length) > 3 || own.length > 200) return undefined
  const distance = editDistance(own.toLowerCase(), name.toLowerCase())
  const limit = Math.min(3, Math.floor(name.length / 3))
  return distance > limit ? undefined : distance + (sameFolder ? 0 : 2)
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(changed, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
