import { hash } from 'node:crypto'
import { BatonError } from '../errors.ts'
import type { BlobRef } from './envelope.ts'

/** The reference of content. */
export function blobRefOf(data: Uint8Array): BlobRef {
  return { sha256: hash('sha256', data), bytes: data.byteLength }
}

/** The error for a blob that a store does not have. */
export function unknownBlobError(ref: BlobRef): BatonError {
  return new BatonError('UNKNOWN_BLOB', `There is no blob ${ref.sha256} in this store.`, { details: { ...ref } })
}
