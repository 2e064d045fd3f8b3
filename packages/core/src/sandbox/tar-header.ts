/** What a tar member says of itself. Names are bytes. */
export interface TarHeader {
  readonly type: 'file' | 'folder' | 'link' | 'hardlink'
  readonly name: Buffer
  /** Where a link or hard link points. */
  readonly target?: Buffer | undefined
  /** Bytes of content that follow; 0 for all but files. */
  readonly size: number
  readonly mode: number
  readonly mtimeMs: number
}

const block = 512
const flags = { file: '0', hardlink: '1', link: '2', folder: '5' } as const

/**
 * The header blocks of a member, in the form that every tar reads: POSIX ustar, with GNU's long-name members for names over 100 bytes and
 * base-256 sizes from 8 GiB on. Names stay the bytes they are. Source: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
 */
export function encodeTarHeader(header: TarHeader): Buffer {
  const name = header.type === 'folder' ? Buffer.concat([header.name, Buffer.from('/')]) : header.name
  const target = header.target ?? Buffer.alloc(0)
  return Buffer.concat([
    ...(target.length > 100 ? longName('K', target) : []),
    ...(name.length > 100 ? longName('L', name) : []),
    headerBlock(flags[header.type], name, target, header.size, header.mode & 0o777, header.mtimeMs),
  ])
}

/** What fills a content of this size up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((block - (size % block)) % block)
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * block)
}

function longName(flag: 'K' | 'L', name: Buffer): Buffer[] {
  const size = name.length + 1
  return [headerBlock(flag, Buffer.from('././@LongLink'), Buffer.alloc(0), size, 0o644, 0), name, Buffer.alloc(1), tarPadding(size)]
}

function headerBlock(flag: string, name: Buffer, target: Buffer, size: number, mode: number, mtimeMs: number): Buffer {
  const bytes = Buffer.alloc(block)
  name.copy(bytes, 0, 0, 100)
  octal(bytes, 100, 8, mode)
  octal(bytes, 108, 8, 0)
  octal(bytes, 116, 8, 0)
  if (size < 8 ** 11) octal(bytes, 124, 12, size)
  else {
    bytes[124] = 0x80
    bytes.writeBigUInt64BE(BigInt(size), 128)
  }
  octal(bytes, 136, 12, Math.max(0, Math.floor(mtimeMs / 1000)))
  bytes.fill(0x20, 148, 156)
  bytes.write(flag, 156)
  target.copy(bytes, 157, 0, 100)
  // GNU's magic rather than ustar's, since the long-name members are GNU's.
  bytes.write('ustar  ', 257)
  let sum = 0
  for (const byte of bytes) sum += byte
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return bytes
}

function octal(bytes: Buffer, at: number, length: number, value: number): void {
  bytes.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at)
}
