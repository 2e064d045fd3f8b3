import { posix } from 'node:path'
import { z } from 'zod'

/** A path as the tools take it. */
export const ToolPath = z
  .string()
  .min(1)
  .refine((path) => !path.includes('\0'), 'a path has no NUL character')
  .describe('Path relative to the working folder, for example src/index.ts')

/**
 * One spelling for each file: `./a`, `a`, `b/../a` and the absolute path inside the workdir are all `a`; the workdir itself is `.`. A path that
 * leads out is returned as it leads, for the sandbox to refuse.
 */
export function normalisePath(path: string, workdir?: string): string {
  const inner = workdir !== undefined && path.startsWith('/') ? posix.relative(workdir, path) : posix.normalize(path)
  if (workdir !== undefined && path.startsWith('/') && (inner === '..' || inner.startsWith('../'))) return posix.normalize(path)
  return inner.replace(/\/+$/, '') || (path.startsWith('/') && workdir === undefined ? '/' : '.')
}

/** A path in a text for the model: quoted where its characters would mislead. */
export function showPath(path: string): string {
  return /^[^\p{Cc}\p{Cs}\s]([^\p{Cc}\p{Cs}]*[^\p{Cc}\p{Cs}\s])?$/u.test(path) ? path : JSON.stringify(path)
}

/** The path's folder, `.` at the top. */
export function folderOf(path: string): string {
  return posix.dirname(path)
}

/** The path in a form that no program takes for an option. */
export function argumentPath(path: string): string {
  return path.startsWith('/') ? path : `./${path}`
}
