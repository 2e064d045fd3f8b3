import { countEquations, numberOf } from './arithmetic.ts'

/** Figures are kept as whole numbers of this fraction, so that sums of their products are exact. */
const grain = 16
/** No figure is larger, so that no single answer can outweigh the others by far. */
const largest = 8
/** Of a long answer or question so much is read, half of it from the end. */
const readCharacters = 16_000

const numbers = /\d+(?:,\d{3})*(?:\.\d+)?/g
const hedges =
  /\b(?:however|mistake|impossible|cannot|can't|unclear|not (?:possible|enough|sure)|assum\w*|actually|wait|probably|approximately)\b/gi
const unknowns = /\b(?:denote|equation|solve|let's|let (?:us|[a-z]\b))/gi
const refusals = /\b(?:sorry|as an ai|unable to|i (?:can't|cannot|won't)|don't (?:know|have))\b/gi
const gaps = /\b(?:todo|fixme|tbd|placeholder|not implemented)\b|\.\.\.|…/gi

/**
 * Figures of an answer that tell good ones from bad ones: how long it is, how it is built, whether it comes to a result, whether that result is
 * what its last calculation gave, whether its calculations are right, which of the question's numbers it used, where it hedges.
 * They are about answers with calculations for the most part, since those were there to learn from.
 */
export function answerFeatures(question: string, answer: string): Float32Array {
  const [asked, said] = [plain(question), plain(answer)]
  const figures = [...shapeOf(asked, said), ...resultOf(asked, said), ...wordsOf(asked, said)]
  return Float32Array.from(figures, (figure) => Math.round(grain * Math.max(-largest, Math.min(largest, figure))))
}

function shapeOf(question: string, answer: string): number[] {
  const lines = answer.split('\n').filter((line) => line.trim() !== '').length
  return [
    log(answer.length) / 2,
    log(question.length) / 2,
    log(lines),
    log(answer.length / Math.max(1, lines)) / 2,
    log(count(answer, numbers)),
    log(answer.length / (1 + count(answer, numbers))),
    // Broken off in the middle of a sentence; a fence of code that is not closed.
    flag(!/[.!?:;)\]}"'`\d%]$/.test(answer.trimEnd())),
    flag(count(answer, /^[ \t]*```/gm) % 2 === 1),
    flag(answer.trim() === ''),
  ]
}

function resultOf(question: string, answer: string): number[] {
  const { stated, wrong, lastResult } = countEquations(answer)
  const final = finalResult(answer)
  const given = new Set(numbersOf(question))
  const used = new Set(numbersOf(answer))
  const results = [...answer.matchAll(/=\s{0,3}(-?)\s{0,3}[$€£]?(\d+(?:,\d{3})*(?:\.\d+)?)/g)]
  return [
    log(stated),
    Math.min(3, wrong),
    flag(stated === 0),
    Math.min(3, results.filter(([, sign]) => sign === '-').length),
    Math.min(3, results.filter(([, , figure = '']) => figure.includes('.')).length),
    flag(final === undefined),
    flag(final !== undefined && !Number.isInteger(final)),
    flag(final !== undefined && final <= 0),
    final === undefined ? 0 : Math.log10(1 + Math.abs(final)),
    flag(final !== undefined && final === lastResult),
    flag(final !== undefined && given.has(final)),
    log(given.size),
    given.size === 0 ? 1 : [...given].filter((figure) => used.has(figure)).length / given.size,
    log(count(answer, /\d\s{0,3}[/÷]\s{0,3}\d/g)),
  ]
}

function wordsOf(question: string, answer: string): number[] {
  return [
    log(count(answer, hedges)),
    log(count(answer, unknowns)),
    log(count(answer, refusals)),
    log(count(answer, gaps)),
    flag(/%|percent|fraction|half|third|quarter|twice|\d\/\d/i.test(question)),
  ]
}

/** The number that an answer comes to in the end: after `####`, "the answer is" and the like. Undefined where it names none there. */
function finalResult(answer: string): number | undefined {
  const stated = [...answer.matchAll(/(?:####|answer(?: is|:)|result(?: is|:)|\\boxed\{)([^\n]{0,80})/gi)].at(-1)?.[1]
  const [, sign, figure] = stated?.match(/(-?)\s{0,3}[$€£]?(\d+(?:,\d{3})*(?:\.\d+)?)/) ?? []
  return figure === undefined ? undefined : numberOf(figure) * (sign === '-' ? -1 : 1)
}

function numbersOf(text: string): number[] {
  return (text.match(numbers) ?? []).map(numberOf)
}

/** What is read of a text, with full-width and ornamental figures as plain ones: what looks the same counts the same. */
function plain(text: string): string {
  return shorten(text).replace(/[\uff01-\uff5e]|[^\P{Nd}\d]/gu, (sign) => sign.normalize('NFKC'))
}

function shorten(text: string): string {
  return text.length <= readCharacters ? text : `${text.slice(0, readCharacters / 2)}\n${text.slice(-readCharacters / 2)}`
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0
}

function flag(condition: boolean): number {
  return condition ? 1 : 0
}

function log(value: number): number {
  return Math.log(1 + value)
}
