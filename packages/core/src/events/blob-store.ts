import type { Abortable } from '../options.ts'
import type { BlobRef } from './envelope.ts'

/** Keeps what is too long for an event: whole outputs, images, tars. Content-addressed, so writing the same twice costs nothing. */
export interface BlobStore {
  /** Durable when it resolves. */
  put(data: Uint8Array, options?: Abortable): Promise<BlobRef>
  /** Rejects with `UNKNOWN_BLOB` where there is none, and with `CORRUPT_LOG` where the content no longer fits its reference. */
  get(ref: BlobRef, options?: Abortable): Promise<Uint8Array>
}
