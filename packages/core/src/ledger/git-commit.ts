import type { Actor } from '../events/envelope.ts'
import { systemActor } from '../events/envelope.ts'

/** What a commit says. */
export interface GitCommit {
  readonly tree: string
  readonly parents: readonly string[]
  /** When it was made, in seconds since 1970. */
  readonly seconds: number
  /** Its state may hold pointers in place of content. */
  readonly mayHoldPointers: boolean
}

/** A commit that is to be. */
export interface GitCommitOptions {
  readonly tree: string
  readonly parent: string | undefined
  readonly author: Actor
  readonly message: string
  readonly seconds: number
  readonly mayHoldPointers: boolean
}

/** git passes over headers that it does not know, so what it says costs readers nothing. */
const pointersHeader = 'baton-pointers yes'

/** The content of a commit object: the author is the actor, the committer Baton. Source: git-commit-tree(1). */
export function encodeCommit({ tree, parent, author, message, seconds, mayHoldPointers }: GitCommitOptions): Buffer {
  const lines = [
    `tree ${tree}`,
    ...(parent === undefined ? [] : [`parent ${parent}`]),
    `author ${identityOf(author)} ${seconds} +0000`,
    `committer ${identityOf(systemActor)} ${seconds} +0000`,
    ...(mayHoldPointers ? [pointersHeader] : []),
  ]
  const text = message.toWellFormed().replaceAll('\0', '\u2400')
  return Buffer.from(`${lines.join('\n')}\n\n${text}${text.endsWith('\n') ? '' : '\n'}`)
}

/** What a commit object says, or undefined where it is none that can be read. */
export function decodeCommit(content: Buffer): GitCommit | undefined {
  const end = content.indexOf('\n\n')
  const headers = content.toString('utf8', 0, end < 0 ? content.length : end).split('\n')
  const tree = /^tree ([0-9a-f]{40})$/.exec(headers[0] ?? '')?.[1]
  const seconds = headers.find((line) => line.startsWith('committer '))?.match(/ (\d+) [+-]\d{4}$/)?.[1]
  if (tree === undefined || seconds === undefined) return undefined
  return {
    tree,
    parents: headers.flatMap((line) => /^parent ([0-9a-f]{40})$/.exec(line)?.[1] ?? []),
    seconds: Number(seconds),
    mayHoldPointers: headers.includes(pointersHeader),
  }
}

/** The object that an annotated tag names. */
export function targetOfTag(content: Buffer): string | undefined {
  return /^object ([0-9a-f]{40})\n/.exec(content.toString('latin1', 0, 48))?.[1]
}

/**
 * An actor as git writes a person: `Ada <ada@human.baton>`. What would end the name or the address, and `%` in the address, stands as `%` and two
 * hexadecimal digits, as in a URL.
 */
function identityOf({ kind, id, name }: Actor): string {
  const shown = escapeBytes((name ?? '').replaceAll(/\s+/g, ' ').trim() || id.replaceAll(/\s+/g, ' ').trim() || kind, /[\p{Cc}<>]/gu)
  return `${shown} <${escapeBytes(id, /[\p{Cc} <>%]/gu)}@${kind}.baton>`
}

function escapeBytes(text: string, special: RegExp): string {
  return text.toWellFormed().replaceAll(special, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`)
}
