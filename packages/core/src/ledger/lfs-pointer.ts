const head = 'version https://git-lfs.github.com/spec/v1\next-0-baton sha256:'
const pattern = /^version https:\/\/git-lfs\.github\.com\/spec\/v1\next-0-baton sha256:([0-9a-f]{64})\noid sha256:\1\nsize (\d{1,16})\n$/

/** No pointer is smaller or larger than this, in bytes. */
export const pointerBytes = { least: head.length + 64 + 1 + 76 + 7, most: head.length + 64 + 1 + 76 + 22 } as const

/**
 * What is stored in place of content that is too large: a Git LFS pointer. Its extension line, which says that `baton` has changed nothing, tells it from a
 * pointer that a workspace itself holds. Source: the pointer of github.com/git-lfs/git-lfs, docs/spec.md and docs/extensions.md.
 *
 * @param sha256 - of the content, lower-case hexadecimal
 * @param bytes - the length of the content
 */
export function pointerFor(sha256: string, bytes: number): Buffer {
  return Buffer.from(`${head}${sha256}\noid sha256:${sha256}\nsize ${bytes}\n`)
}

/** Whether content is what {@link pointerFor} makes. */
export function isPointer(content: Uint8Array): boolean {
  return (
    content.length >= pointerBytes.least && content.length <= pointerBytes.most && pattern.test(Buffer.from(content).toString('latin1'))
  )
}
