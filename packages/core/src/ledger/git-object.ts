import { createHash } from 'node:crypto'

/** The kinds of objects that git has. Source: gitformat-pack(5). */
export type ObjectType = 'commit' | 'tree' | 'blob' | 'tag'

/** An object, inflated. */
export interface GitObject {
  readonly type: ObjectType
  readonly content: Buffer
}

/** Every object id is SHA-1, 40 lower-case hexadecimal digits. */
export const objectIdPattern = /^[0-9a-f]{40}$/

/** The id that git gives to an object. */
export function objectId(type: ObjectType, content: Uint8Array): string {
  return createHash('sha1').update(`${type} ${content.length}\0`).update(content).digest('hex')
}
