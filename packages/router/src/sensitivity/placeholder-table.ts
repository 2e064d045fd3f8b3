import { redacted } from './placeholders.ts'

/** Values with the placeholders that stand for them. */
export interface PlaceholderTable {
  readonly size: number
  add(kind: string, value: string): void
  /** Puts placeholders in place of every value that was added, wherever it stands, and of text that looks like a placeholder. */
  replace(text: string): string
  valueOf(placeholder: string): string | undefined
  /** Puts values in place of placeholders. */
  restore(text: string): string
}

interface Span {
  readonly from: number
  readonly to: number
  readonly kind: string
}

const anyPlaceholder = new RegExp(redacted.source, 'g')

export function createPlaceholderTable(): PlaceholderTable {
  const placeholders = new Map<string, string>()
  const kinds = new Map<string, string>()
  const occurrences = createOccurrences(kinds)
  const values = new Map<string, string>()

  function placeholderFor(kind: string, value: string): string {
    const known = placeholders.get(value)
    if (known !== undefined) return known
    // A kind of another's classifier may hold anything; a placeholder has one form, or it would not be known again.
    const name =
      kind
        .toLowerCase()
        .replace(/[^a-z0-9-]+/g, '-')
        .replace(/^[^a-z]+/, '')
        .slice(0, 60) || 'secret'
    const placeholder = `[[${name}:${placeholders.size + 1}]]`
    placeholders.set(value, placeholder)
    kinds.set(value, kind)
    occurrences.add(value)
    values.set(placeholder, value)
    return placeholder
  }

  return {
    get size() {
      return placeholders.size
    },
    add(kind, value) {
      if (value !== '') placeholderFor(kind, value)
    },
    valueOf: (placeholder) => values.get(placeholder),
    restore: (text) => text.replace(anyPlaceholder, (placeholder) => values.get(placeholder) ?? placeholder),
    replace(text) {
      const spans = occurrences.find(text)
      for (const { index, 0: found } of text.matchAll(anyPlaceholder)) spans.push({ from: index, to: index + found.length, kind: 'text' })
      let out = ''
      let done = 0
      for (const { from, to, kind } of united(spans)) {
        out += text.slice(done, from) + placeholderFor(kind, text.slice(from, to))
        done = to
      }
      return out + text.slice(done)
    },
  }
}

/** So many characters at the beginning of a value say whether it is looked for at a place. */
const prefixLength = 3

/** Finds every place of every value in one pass over a text, however many values there are. */
function createOccurrences(kinds: ReadonlyMap<string, string>) {
  /** How long the values are that begin so. */
  const lengths = new Map<string, Set<number>>()
  const short = new Set<string>()
  /** A value may begin with two characters of this hash. */
  const beginnings = new Uint8Array(1 << 16)

  return {
    add(value: string): void {
      if (value.length < prefixLength) {
        short.add(value)
        return
      }
      beginnings[hashOf(value, 0)] = 1
      const prefix = value.slice(0, prefixLength)
      const known = lengths.get(prefix)
      if (known) known.add(value.length)
      else lengths.set(prefix, new Set([value.length]))
    },
    find(text: string): Span[] {
      const spans: Span[] = []
      for (const value of short) spans.push(...placesOf(text, value, kinds.get(value) as string))
      if (lengths.size === 0) return spans
      /** Where the last place of a value ended: it is not looked for inside of itself. */
      const ends = new Map<string, number>()
      for (let from = 0; from + prefixLength <= text.length; from++) {
        if (beginnings[hashOf(text, from)] === 0) continue
        for (const length of lengths.get(text.slice(from, from + prefixLength)) ?? []) {
          const value = text.slice(from, from + length)
          const kind = kinds.get(value)
          if (kind === undefined || from < (ends.get(value) ?? 0)) continue
          ends.set(value, from + length)
          spans.push({ from, to: from + length, kind })
        }
      }
      return spans
    },
  }
}

function hashOf(text: string, at: number): number {
  return (text.charCodeAt(at) * 31 + text.charCodeAt(at + 1)) & 0xffff
}

function placesOf(text: string, value: string, kind: string): Span[] {
  const spans: Span[] = []
  for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + value.length))
    spans.push({ from: at, to: at + value.length, kind })
  return spans
}

/** In order; spans that overlap become one, so that no end of a value is left over. */
function united(spans: Span[]): Span[] {
  const all: Span[] = []
  for (const span of spans.sort((a, b) => a.from - b.from || b.to - a.to)) {
    const last = all.at(-1)
    if (!last || span.from >= last.to) all.push(span)
    else if (span.to > last.to) all[all.length - 1] = { ...last, to: span.to }
  }
  return all
}
