import { objectId } from './git-object.ts'

/**
 * Content that was put and is stored already, so that a commit relies on it: should another task be pruned before that commit, and the content with it,
 * it can be stored again.
 */
export interface ReliedContent {
  /** Keeps a reference, not a copy. The oldest is let go beyond the limit. */
  add(oid: string, content: Uint8Array): void
  /** The content, unless it was let go, or written over by its owner. */
  get(oid: string): Uint8Array | undefined
}

export function createReliedContent(maxBytes: number): ReliedContent {
  const contents = new Map<string, Uint8Array>()
  let bytes = 0

  function remove(oid: string): void {
    bytes -= contents.get(oid)?.length ?? 0
    contents.delete(oid)
  }

  return {
    add(oid, content) {
      remove(oid)
      contents.set(oid, content)
      bytes += content.length
      for (const oldest of contents.keys()) {
        if (bytes <= maxBytes) return
        remove(oldest)
      }
    },
    get(oid) {
      const content = contents.get(oid)
      return content && objectId('blob', content) === oid ? content : undefined
    },
  }
}
