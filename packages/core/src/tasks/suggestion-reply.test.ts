import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { missingText, replacementText } from './suggestion-reply.ts'

describe('missingText', () => {
  const code = { prefix: 'function add(a, b) {\n  return a', suffix: '\n}\n' }
  it.each([
    ['the text alone', ' + b', code, ' + b'],
    ['a fence around it', '```ts\n + b\n```', code, ' + b'],
    ['words before a fence', 'Here it is:\n\n```\n + b\n```\nThis adds both.', code, ' + b'],
    ['a fence that is not closed', '```\n + b', code, ' + b'],
    ['thoughts before it', '<think>Hm, add them.</think>\n + b', code, ' + b'],
    ['the line of the cursor again', '  return a + b', code, ' + b'],
    ['the line of the cursor without its indentation', 'return a + b', code, ' + b'],
    ['all of the text before', 'function add(a, b) {\n  return a + b', code, ' + b'],
    ['what follows, too', ' + b\n}\n', code, ' + b'],
    ['the rest of the line again', 'b, c);', { prefix: 'add(a, ', suffix: ');\ndone()\n' }, 'b, c'],
    ['a bracket that closes its own', 'f(b)', { prefix: 'add(a, ', suffix: ')' }, 'f(b)'],
    ['a line that ends, where it ends already', ' + b\n', code, ' + b'],
    ['nothing', '', code, ''],
    ['text that looks like what is before', 'a', { prefix: 'a', suffix: 'b' }, 'a'],
    ['its tags', '<before_cursor> + b</before_cursor>', code, ' + b'],
  ])('finds the missing text in %s', (_, reply, around, expected) => {
    expect(missingText(reply, around)).toBe(expected)
  })

  it('keeps fences that belong to the text', () => {
    const around = { prefix: '# Use\n\n```sh\nrun\n```\n\n', suffix: '\nEnd.\n' }
    expect(missingText('```ts\nconst a = 1\n```\n', around)).toBe('const a = 1')
    expect(missingText('Then:\n\n```ts\nconst a = 1\n```\n', around)).toBe('Then:\n\n```ts\nconst a = 1\n```')
    expect(missingText('```md\nThen:\n```ts\na\n```\nAnd so on.\n```', around)).toBe('Then:\n```ts\na\n```\nAnd so on.')
  })

  it('takes nothing off a text that repeats nothing, and all of what is repeated', () => {
    const word = fc.stringMatching(/^[a-z]{4,8}$/)
    const line = fc.array(word, { minLength: 1, maxLength: 4 }).map((words) => words.join(' '))
    fc.assert(
      fc.property(fc.array(line, { minLength: 1, maxLength: 4 }), line, line, (before, middle, after) => {
        const prefix = `${before.map((text) => `A ${text}`).join('\n')}\n  x = `
        const suffix = `;\nB ${after}\n`
        const text = `C ${middle}`
        expect(missingText(text, { prefix, suffix })).toBe(text)
        expect(missingText(`${prefix}${text}`, { prefix, suffix })).toBe(text)
        expect(missingText(`${text}${suffix}`, { prefix, suffix })).toBe(text)
      }),
    )
  })
})

describe('replacementText', () => {
  const around = { prefix: 'top\n', suffix: 'bottom\n' }
  it.each([
    ['lines', '  a = 2\n  b = 3', '  a = 1\n', around, '  a = 2\n  b = 3\n'],
    ['a fence', '```js\n  a = 2\n```\n', '  a = 1\n', around, '  a = 2\n'],
    ['a fence and words', 'Sure!\n```js\n  a = 2\n```\nDone.', '  a = 1\n', around, '  a = 2\n'],
    ['its tags', '<lines>  a = 2\n</lines>', '  a = 1\n', around, '  a = 2\n'],
    ['nothing, to take them away', '', '  a = 1\n', around, ''],
    ['an empty fence', '```\n```', '  a = 1\n', around, ''],
    ['empty lines around it', '\n\n  a = 2\n\n\n', '  a = 1\n', around, '  a = 2\n'],
    ['empty lines as they were', 'a\n\n', 'b\n\n', around, 'a\n\n'],
    ['a last line without an end', 'a\n', 'b', { prefix: '', suffix: '' }, 'a'],
    ['lines of CRLF', 'a\nb', 'x\r\n', { prefix: 'top\r\n', suffix: '' }, 'a\r\nb\r\n'],
    ['lines to put in', 'a', '', around, 'a\n'],
    ['lines to put behind a last one without an end', 'a', '', { prefix: 'top', suffix: '' }, '\na'],
  ])('finds the lines in %s', (_, reply, lines, place, expected) => {
    expect(replacementText(reply, lines, place)).toBe(expected)
  })
})
