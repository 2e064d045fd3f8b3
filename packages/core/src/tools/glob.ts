/** Stands for any characters, or none, in a glob that is ready to be tried. Control characters are in no pattern. */
export const anything = '\u0001'
/** Stands for one character. */
export const anyCharacter = '\u0002'

/** Whether a glob takes a whole text, in a time that grows with their product at most. */
export function fitsGlob(glob: string, text: string): boolean {
  const pattern = [...glob]
  const characters = [...text]
  let at = 0
  let star = -1
  let retry = 0
  for (let index = 0; index < characters.length; ) {
    if (pattern[at] === anything) {
      star = at++
      retry = index
    } else if (pattern[at] === anyCharacter || (at < pattern.length && pattern[at] === characters[index])) {
      at++
      index++
    } else if (star >= 0) {
      at = star + 1
      index = ++retry
    } else return false
  }
  while (pattern[at] === anything) at++
  return at === pattern.length
}
