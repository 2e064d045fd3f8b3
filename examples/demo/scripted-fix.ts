import type { ServerStep } from '@baton-sdk/core/testing'

/** What the scripted model says at each turn: a first fix that forgets a case, and, once the check has shown it, the whole one. */
const script: readonly ServerStep[] = [
  {
    text: 'I will look at what there is first.',
    toolCalls: [
      { tool: 'list', input: { path: '.' } },
      { tool: 'read', input: { path: 'src/duration.js' } },
      { tool: 'read', input: { path: 'test/duration.test.js' } },
    ],
  },
  { text: 'Now what the tests say.', toolCalls: [{ tool: 'shell', input: { command: 'node --test' } }] },
  {
    text: 'The seconds are rounded after the minutes were split off, so 59.7 s becomes "60s". Rounding has to come first.',
    toolCalls: [
      {
        tool: 'edit',
        input: {
          path: 'src/duration.js',
          edits: [
            { oldText: '  const seconds = ms / 1000\n', newText: '  const seconds = Math.round(ms / 1000)\n' },
            { oldText: '  const rest = Math.round(seconds % 60)\n', newText: '  const rest = seconds % 60\n' },
          ],
        },
      },
    ],
  },
  { text: 'Rounding now happens before minutes and seconds are split.' },
  {
    text: 'The check is right: a negative duration is split wrongly, and -1.5 s has to round away from zero. I take the sign off first and put it back at the end.',
    toolCalls: [
      {
        tool: 'edit',
        input: {
          path: 'src/duration.js',
          edits: [
            {
              oldText: '  const seconds = Math.round(ms / 1000)\n',
              newText: "  const sign = ms < 0 ? '-' : ''\n  const seconds = Math.round(Math.abs(ms) / 1000)\n",
            },
            {
              // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the text of the file.
              oldText: '  return minutes > 0 ? `${minutes}m ${rest}s` : `${rest}s`\n',
              // biome-ignore lint/suspicious/noTemplateCurlyInString: this is the text of the file.
              newText: '  return minutes > 0 ? `${sign}${minutes}m ${rest}s` : `${sign}${rest}s`\n',
            },
          ],
        },
      },
    ],
  },
  { text: 'Once more, to be sure.', toolCalls: [{ tool: 'shell', input: { command: 'node --test' } }] },
  {
    text: 'Fixed. formatDuration rounds to whole seconds before it splits them into minutes and seconds, and handles negative durations by their absolute value. All tests pass.',
  },
]

/** The step for a conversation in which the model has answered so many times. */
export function scriptedFix(turn: number): ServerStep {
  return script[turn] ?? { text: 'There is nothing left to do.' }
}
