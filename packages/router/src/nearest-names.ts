/** Up to three names that someone may have meant, nearest first; none where nothing is near. */
export function nearestNames(wanted: string, names: readonly string[]): string[] {
  const target = wanted.toLowerCase()
  return names
    .slice(0, 2_000)
    .map((name) => ({ name, distance: distanceBetween(target, name.toLowerCase()) }))
    .filter(({ distance }) => distance <= Math.max(3, target.length / 2))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ name }) => name)
}

/** Levenshtein's distance; a name that holds the other, as `provider/name` does, is near. */
function distanceBetween(a: string, b: string): number {
  if (a === b) return 0
  if (a.includes(b) || b.includes(a)) return 1
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitution = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      row.push(Math.min(substitution, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1))
    }
    previous = row
  }
  return previous[b.length] ?? 0
}
