import { createBaton, createSingleModelRouter, defineTool } from '@baton-sdk/core'
import { exec } from '@baton-sdk/core/plugin'
import { scriptedModel } from '@baton-sdk/core/testing'
import { z } from 'zod'

const countLines = defineTool({
  name: 'count_lines',
  description: 'Counts the lines of the files that a glob of the shell matches.',
  effect: 'execute', // it runs a command: a supervised task asks first
  input: z.object({ glob: z.string().regex(/^[\w./*-]+$/, 'expected a plain glob such as src/*.ts') }),
  scope: ({ glob }) => `counting ${glob}`, // what "remember" covers when a person approves
  async run({ glob }, context) {
    const sandbox = await context.sandbox()
    const { exit, stdout, stderr } = await exec(sandbox, `cat -- ${glob} | wc -l`, {
      timeoutMs: 10_000,
      signal: context.signal,
      onOutput: context.output, // shown while it runs, not stored
    })
    if (exit.code !== 0 || stderr !== '') return { text: `Counting failed: ${stderr}`, failed: true }
    return { text: `${stdout.trim()} lines`, data: { lines: Number(stdout) } } // text for the model, data for a user interface
  },
})

// Stands in for a live model. Its first call does not fit the schema, and goes back to it with what is wrong.
const model = scriptedModel([
  { toolCalls: [{ tool: 'count_lines', input: { glob: '$(rm -rf .)' } }] },
  { toolCalls: [{ tool: 'count_lines', input: { glob: '*.md' } }] },
  { text: 'Counted.' },
])
const baton = createBaton({ router: createSingleModelRouter(model), tools: [countLines] })
const task = await baton.createTask({ goal: 'How long are the notes?', workspace: { path: '.' } })
task.on('approval.requested', ({ data }) => void task.approve(data.approvalId))
task.on('tool.finished', ({ data }) => console.log(data.outcome, '|', data.output, '|', data.data))
await task.start().result
await task.end()
await baton.close()
