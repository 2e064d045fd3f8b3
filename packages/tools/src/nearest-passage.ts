/** How alike a passage must be to be worth showing, 0 to 1. */
const minSimilarity = 0.4
const maxWantedCharacters = 64 * 1024

/**
 * The run of lines that has most words and signs in common with the wanted text (Dice's coefficient over the multiset of both), found by sliding a
 * window of as many lines: its cost is linear in the text. Undefined where nothing is much alike.
 */
export function nearestPassage(text: string, wanted: string): { start: number; end: number } | undefined {
  if (wanted.length > maxWantedCharacters) return undefined
  const wantedLines = wanted.replace(/^\n+|\n+$/g, '').split('\n')
  const lines = text.split('\n')
  const window = createWindow(wantedLines.flatMap(tokens))
  const size = Math.min(wantedLines.length, lines.length)
  const inside: string[][] = []
  let best = { score: 0, first: 0 }
  for (const [at, line] of lines.entries()) {
    const added = tokens(line)
    inside.push(added)
    window.add(added)
    if (inside.length > size) window.remove(inside.shift() ?? [])
    const score = window.similarity()
    if (inside.length === size && score > best.score) best = { score, first: at - size + 1 }
  }
  if (best.score < minSimilarity) return undefined
  const start = lines.slice(0, best.first).reduce((sum, line) => sum + line.length + 1, 0)
  const length = lines.slice(best.first, best.first + size).join('\n').length
  return { start, end: start + Math.max(1, length) }
}

function tokens(line: string): string[] {
  return line.match(/[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu) ?? []
}

/** Counts how much of the wanted tokens is among those inside. */
function createWindow(wanted: readonly string[]) {
  const missing = new Map<string, number>()
  for (const token of wanted) missing.set(token, (missing.get(token) ?? 0) + 1)
  let shared = 0
  let total = 0
  return {
    add(tokens: readonly string[]): void {
      total += tokens.length
      for (const token of tokens) {
        const left = missing.get(token)
        if (left === undefined) continue
        if (left > 0) shared++
        missing.set(token, left - 1)
      }
    },
    remove(tokens: readonly string[]): void {
      total -= tokens.length
      for (const token of tokens) {
        const left = missing.get(token)
        if (left === undefined) continue
        if (left >= 0) shared--
        missing.set(token, left + 1)
      }
    },
    similarity: () => (total + wanted.length === 0 ? 0 : (2 * shared) / (total + wanted.length)),
  }
}
