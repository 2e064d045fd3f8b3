import { createHash } from 'node:crypto'
import type { Sandbox } from '@baton-sdk/core'
import { BatonError } from '@baton-sdk/core'

/** Largest file that is read whole into memory, for reading, editing and comparing. */
export const maxFileBytes = 8 * 1024 * 1024

/** A file as it was at one moment. */
export interface FileContent {
  readonly bytes: Uint8Array
  /** Lower-case hexadecimal. */
  readonly sha256: string
  /** For showing and comparing, without a byte order mark; what is no UTF-8 shows as U+FFFD. */
  readonly text: string
  readonly binary: boolean
  /** Whether `text` stands for exactly these bytes. */
  readonly utf8: boolean
  readonly bom: boolean
  readonly lineEnding: 'lf' | 'crlf' | 'mixed' | 'none'
}

/** The file's content, or undefined where there is no file. Rejects as `readFile` does for anything else. */
export async function readContent(sandbox: Sandbox, path: string, signal: AbortSignal): Promise<FileContent | undefined> {
  try {
    return contentOf(await sandbox.readFile(path, { maxBytes: maxFileBytes, signal }))
  } catch (error) {
    if (BatonError.isInstance(error, 'FILE_NOT_FOUND')) return undefined
    throw error
  }
}

/** What there is to know about these bytes. */
export function contentOf(bytes: Uint8Array): FileContent {
  const bom = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const text = buffer.toString('utf8', bom ? 3 : 0)
  return {
    bytes,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    text,
    // The rule git goes by.
    binary: buffer.subarray(0, 8000).includes(0),
    utf8: !text.includes('\ufffd') || Buffer.from(text).equals(buffer.subarray(bom ? 3 : 0)),
    bom,
    lineEnding: lineEndingOf(text),
  }
}

function lineEndingOf(text: string): FileContent['lineEnding'] {
  let crlf = 0
  let lf = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    if (text[at - 1] === '\r') crlf++
    else lf++
  }
  if (crlf === 0) return lf === 0 ? 'none' : 'lf'
  return lf === 0 ? 'crlf' : 'mixed'
}
