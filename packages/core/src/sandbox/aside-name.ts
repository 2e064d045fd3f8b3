import { randomBytes } from 'node:crypto'

/** The name of a file that is written beside the one whose place it is to take. */
export function newAsideName(): string {
  return `.baton-${randomBytes(8).toString('hex')}.tmp`
}

/** Whether a path is such a file: one under way, or one that a process has left that died. It is nobody's work. */
export function isAsideName(path: string): boolean {
  return /(^|\/)\.baton-[0-9a-f]{16}\.tmp$/.test(path)
}
