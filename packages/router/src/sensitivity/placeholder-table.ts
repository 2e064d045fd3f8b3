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
    values.set(placeholder, value)
    return placeholder
  }

  return {
    get size() {
      return placeholders.size
    },
    add: (kind, value) => void placeholderFor(kind, value),
    valueOf: (placeholder) => values.get(placeholder),
    restore: (text) => text.replace(anyPlaceholder, (placeholder) => values.get(placeholder) ?? placeholder),
    replace(text) {
      const spans: Span[] = []
      for (const [value, kind] of kinds) spans.push(...occurrences(text, value, kind))
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

function occurrences(text: string, value: string, kind: string): Span[] {
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
