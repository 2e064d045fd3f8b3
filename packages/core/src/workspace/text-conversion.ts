import { createHash } from 'node:crypto'
import type { PathAttributes } from './repository.ts'

/** Settings that have a say in line endings. */
export interface LineEndingSettings {
  /** `core.autocrlf` */
  readonly autocrlf: string | undefined
  /** `core.eol` */
  readonly eol: string | undefined
}

/** How git changes the content of a file on its way between work tree and object store. */
export interface TextConversion {
  /** `auto`: only what looks like text. `none`: bytes stay as they are. */
  readonly text: 'always' | 'auto' | 'none'
  /** Whether the work tree has CRLF. */
  readonly crlfOut: boolean
}

/** What attributes and settings make of line endings. Source: gitattributes(5), "text", "eol", and git's convert.c. */
export function textConversion(attributes: PathAttributes, settings: LineEndingSettings): TextConversion {
  const attribute = attributes.text === 'unspecified' ? legacy(attributes.crlf) : attributes.text
  const eol = attributes.eol === 'lf' || attributes.eol === 'crlf' ? attributes.eol : undefined
  const autocrlf = settings.autocrlf?.toLowerCase()
  const bySetting = autocrlf === 'input' || isTrue(autocrlf) ? 'auto' : 'none'
  const text = attribute === 'unset' ? 'none' : attribute === 'set' ? 'always' : attribute === 'auto' ? 'auto' : eol ? 'always' : bySetting
  const byCore = settings.eol?.toLowerCase() === 'crlf' || (settings.eol?.toLowerCase() === 'native' && process.platform === 'win32')
  const crlfOut = attribute === 'input' ? false : eol ? eol === 'crlf' : isTrue(autocrlf) || (autocrlf !== 'input' && byCore)
  return attribute === 'input' ? { text: 'always', crlfOut } : { text, crlfOut: text !== 'none' && crlfOut }
}

function legacy(crlf: string): string {
  return crlf === 'set' || crlf === 'unset' || crlf === 'input' ? crlf : 'unspecified'
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && ['true', 'yes', 'on', '1'].includes(value)
}

/** The content as git stores it. `stored` is what is stored at the path now: CRLF that is in there already stays under `auto`. */
export async function toStored(
  content: Uint8Array,
  { text }: TextConversion,
  stored: () => Promise<Uint8Array | undefined>,
): Promise<Uint8Array> {
  if (text === 'none') return content
  const bytes = view(content)
  if (!bytes.includes('\r\n')) return content
  if (text === 'auto') {
    if (looksBinary(bytes)) return content
    const before = await stored()
    if (before && !looksBinary(view(before)) && view(before).includes('\r\n')) return content
  }
  return Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1')
}

/** The content as git puts it into the work tree. */
export function toWorkTree(content: Uint8Array, { text, crlfOut }: TextConversion): Uint8Array {
  if (text === 'none' || !crlfOut) return content
  const bytes = view(content)
  if (text === 'auto' && (bytes.includes('\r') || looksBinary(bytes))) return content
  return Buffer.from(bytes.toString('latin1').replace(/(?<!\r)\n/g, '\r\n'), 'latin1')
}

function view(content: Uint8Array): Buffer {
  return Buffer.from(content.buffer, content.byteOffset, content.byteLength)
}

/** Whether git takes it for binary: a NUL, a lone CR, or more than one control character to 128 others. Source: git's convert.c. */
function looksBinary(bytes: Buffer): boolean {
  let printable = 0
  let other = 0
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0
    if (byte === 0) return true
    if (byte === 0x0d) {
      if (bytes[at + 1] !== 0x0a) return true
      at++
    } else if (byte === 0x0a) continue
    else if (byte === 0x7f || (byte < 0x20 && ![0x08, 0x09, 0x0c, 0x1b].includes(byte))) other++
    else printable++
  }
  // A DOS file may end in ^Z.
  if (bytes.at(-1) === 0x1a) other--
  return printable >> 7 < other
}

/** Whether content is a Git LFS pointer already. Source: the Git LFS specification, "The Pointer". */
export function isLfsPointer(content: Uint8Array): boolean {
  return content.length < 1024 && /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n/.test(view(content).toString('latin1'))
}

/** The pointer that stands for content, and the name of the content in LFS's own store. */
export function lfsPointer(content: Uint8Array): { readonly pointer: Uint8Array; readonly sha256: string } {
  const sha256 = createHash('sha256').update(content).digest('hex')
  return { sha256, pointer: Buffer.from(`version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${content.length}\n`) }
}
