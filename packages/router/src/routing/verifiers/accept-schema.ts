import type { ZodType } from 'zod'
import { z } from 'zod'
import type { Verifier } from './verifier.ts'

/**
 * Accepts replies that are JSON by a schema; a fence of code around it is taken off. A reply that calls tools is work under way: it passes
 * where the arguments of its calls are well-formed.
 */
export function acceptSchema(schema: ZodType): Verifier {
  return {
    name: 'schema',
    async verify({ text, toolCalls }) {
      const malformed = toolCalls.find(({ malformed: why }) => why !== undefined)
      if (malformed) return { accepted: false, reason: `the arguments for ${malformed.tool} are no JSON` }
      if (toolCalls.length > 0) return { accepted: true }
      const value = parseJson(text)
      if (value === undefined) return { accepted: false, reason: 'the reply is no JSON' }
      const { error } = await schema.safeParseAsync(value)
      return error ? { accepted: false, reason: `the reply does not keep to the schema: ${z.prettifyError(error)}` } : { accepted: true }
    },
  }
}

function parseJson(text: string): unknown {
  const fenced = /^\s*```\w*\s*\n(.*)\n\s*```\s*$/s.exec(text)
  try {
    return JSON.parse(fenced?.[1] ?? text)
  } catch {
    return undefined
  }
}
