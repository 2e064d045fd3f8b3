import { v7 as uuidv7 } from 'uuid'

// Sixteen random bytes for each id, drawn for 256 ids at once: a draw costs more than all else that an event costs in memory.
const random = new Uint8Array(16 * 256)
let used = random.length
let msecs = 0
let counter = 0

/** Mints the id of an event: a UUIDv7 that is greater than the one before it (RFC 9562, section 6.2, method 1). */
export function mintEventId(): string {
  if (used === random.length) {
    crypto.getRandomValues(random)
    used = 0
  }
  const bytes = random.subarray(used, used + 16)
  used += 16
  const now = Date.now()
  if (now > msecs) {
    msecs = now
    counter =
      ((bytes[6] as number) & 0x7f) * 0x1000000 + (bytes[7] as number) * 0x10000 + (bytes[8] as number) * 0x100 + (bytes[9] as number)
  } else if (++counter > 0xffffffff) {
    msecs++
    counter = 0
  }
  return uuidv7({ random: bytes, msecs, seq: counter })
}
