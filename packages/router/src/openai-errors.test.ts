import type { ModelErrorKind } from '@baton-sdk/core/plugin'
import { describe, expect, it } from 'vitest'
import { failureKind, failureOf, retryAfterMs } from './openai-errors.ts'

type Row = readonly [kind: ModelErrorKind, status: number | undefined, body: unknown]

/** Bodies as providers send them. */
const rows: Record<string, readonly Row[]> = {
  OpenAI: [
    [
      'unauthorized',
      401,
      { error: { message: 'Incorrect API key provided: sk-ab***yz.', type: 'invalid_request_error', code: 'invalid_api_key' } },
    ],
    [
      'rate-limited',
      429,
      {
        error: {
          message: 'Rate limit reached for gpt-5 on tokens per min (TPM): Limit 30000.',
          type: 'tokens',
          code: 'rate_limit_exceeded',
        },
      },
    ],
    [
      'quota',
      429,
      {
        error: {
          message: 'You exceeded your current quota, please check your plan and billing details.',
          type: 'insufficient_quota',
          code: 'insufficient_quota',
        },
      },
    ],
    [
      'context-too-long',
      400,
      {
        error: {
          message: "This model's maximum context length is 128000 tokens.",
          type: 'invalid_request_error',
          code: 'context_length_exceeded',
        },
      },
    ],
    [
      'context-too-long',
      400,
      { error: { message: 'Your input exceeds the context window of this model.', type: 'invalid_request_error', code: null } },
    ],
    [
      'unknown-model',
      404,
      {
        error: {
          message: 'The model `gpt-9` does not exist or you do not have access to it.',
          type: 'invalid_request_error',
          code: 'model_not_found',
        },
      },
    ],
    [
      'unauthorized',
      403,
      {
        error: {
          message: 'Country, region, or territory not supported',
          type: 'request_forbidden',
          code: 'unsupported_country_region_territory',
        },
      },
    ],
    [
      'bad-request',
      400,
      {
        error: {
          message: "Unsupported value: 'temperature' does not support 0.2 with this model.",
          type: 'invalid_request_error',
          code: 'unsupported_value',
        },
      },
    ],
    ['server', 500, { error: { message: 'The server had an error while processing your request.', type: 'server_error', code: null } }],
    [
      'overloaded',
      503,
      { error: { message: 'That model is currently overloaded with other requests.', type: 'server_error', code: null } },
    ],
    [
      'content-filter',
      400,
      {
        error: {
          message: 'Invalid prompt: your prompt was flagged as potentially violating our usage policy.',
          type: 'invalid_request_error',
          code: 'invalid_prompt',
        },
      },
    ],
    ['server', undefined, { error: { message: 'The server had an error processing your request.', type: 'server_error', code: null } }],
    ['rate-limited', undefined, { code: 'rate_limit_exceeded', message: 'Rate limit reached for gpt-5.' }],
  ],
  Azure: [
    [
      'content-filter',
      400,
      {
        error: {
          message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
          code: 'content_filter',
          status: 400,
        },
      },
    ],
    [
      'rate-limited',
      429,
      { error: { code: '429', message: 'Requests have exceeded call rate limit of your current OpenAI S0 pricing tier.' } },
    ],
    ['unauthorized', 401, { error: { code: '401', message: 'Access denied due to invalid subscription key.' } }],
  ],
  OpenRouter: [
    ['quota', 402, { error: { message: 'Insufficient credits. Add more using https://openrouter.ai/settings/credits', code: 402 } }],
    ['unknown-model', 400, { error: { message: 'foo/bar is not a valid model ID', code: 400 } }],
    ['unknown-model', 404, { error: { message: 'No endpoints found for foo/bar.', code: 404 } }],
    ['content-filter', 403, { error: { message: 'Input was flagged by moderation', code: 403 } }],
    [
      'context-too-long',
      400,
      {
        error: { message: "This endpoint's maximum context length is 65536 tokens. However, you requested about 70000 tokens.", code: 400 },
      },
    ],
    ['server', undefined, { error: { code: 502, message: 'Provider returned error' } }],
    ['rate-limited', undefined, { error: { code: 429, message: 'Provider returned error' } }],
  ],
  'vLLM, llama.cpp and Ollama': [
    [
      'context-too-long',
      400,
      { object: 'error', message: "This model's maximum context length is 4096 tokens.", type: 'BadRequestError', code: 400 },
    ],
    [
      'unknown-model',
      404,
      { object: 'error', message: 'The model `foo` does not exist.', type: 'NotFoundError', param: 'model', code: 404 },
    ],
    [
      'context-too-long',
      400,
      {
        error: {
          code: 400,
          message: 'the request exceeds the available context size, try increasing it',
          type: 'exceed_context_size_error',
        },
      },
    ],
    ['context-too-long', 500, { error: { code: 500, message: 'context size exceeded', type: 'server_error' } }],
    ['overloaded', 503, { error: { code: 503, message: 'Loading model', type: 'unavailable_error' } }],
    [
      'unknown-model',
      404,
      { error: { message: 'model "foo" not found, try pulling it first', type: 'api_error', param: null, code: null } },
    ],
  ],
  'DeepSeek, Groq, Mistral, Google': [
    ['quota', 402, { error: { message: 'Insufficient Balance', type: 'unknown_error', code: 'invalid_request_error' } }],
    ['unknown-model', 400, { error: { message: 'Model Not Exist', type: 'invalid_request_error', code: 'invalid_request_error' } }],
    [
      'context-too-long',
      413,
      {
        error: {
          message: 'Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 9000.',
          type: 'tokens',
          code: 'rate_limit_exceeded',
        },
      },
    ],
    ['unknown-model', 400, { object: 'error', message: 'Invalid model: foo', type: 'invalid_model', code: '1500' }],
    ['bad-request', 422, { detail: [{ type: 'missing', loc: ['body', 'messages'], msg: 'Field required' }] }],
    [
      'rate-limited',
      429,
      [{ error: { code: 429, message: 'Resource has been exhausted (e.g. check quota).', status: 'RESOURCE_EXHAUSTED' } }],
    ],
    [
      'context-too-long',
      400,
      [
        {
          error: {
            code: 400,
            message: 'The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).',
            status: 'INVALID_ARGUMENT',
          },
        },
      ],
    ],
  ],
  'gateways and proxies': [
    ['server', 502, '<html><body>Bad Gateway</body></html>'],
    ['server', 504, 'upstream request timeout'],
    ['timeout', 408, 'Request Timeout'],
    ['overloaded', 529, { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } }],
    ['overloaded', undefined, { error: { type: 'overloaded_error', message: 'Overloaded' } }],
    ['unauthorized', 403, { message: 'Forbidden' }],
    ['bad-request', 404, { detail: 'Not Found' }],
    ['bad-request', 400, { error: 'no user message' }],
    ['server', 409, { error: { message: 'conflict' } }],
  ],
}

describe('failureKind', () => {
  for (const [provider, list] of Object.entries(rows))
    it.each(list)(`says %s for ${provider}'s %s %j`, (kind, status, body) => {
      expect(failureKind(status, failureOf(body) ?? { message: '', type: '', code: '' })).toBe(kind)
    })
})

describe('failureOf', () => {
  it('finds the message wherever it is', () => {
    expect(failureOf({ error: { message: 'a', type: 't', code: 7 } })).toEqual({ message: 'a', type: 't', code: '7' })
    expect(failureOf({ error: 'b' })?.message).toBe('b')
    expect(failureOf([{ error: { message: 'c' } }])?.message).toBe('c')
    expect(failureOf({ detail: [{ msg: 'd' }] })?.message).toBe('[{"msg":"d"}]')
    expect(failureOf({ error: null, message: 'e' })?.message).toBe('e')
    expect(failureOf(undefined)).toBeUndefined()
    expect(failureOf({})).toBeUndefined()
  })
})

describe('retryAfterMs', () => {
  const now = Date.parse('2026-08-01T12:00:00Z')
  it.each([
    [{ 'retry-after': '3' }, 3_000],
    [{ 'retry-after': '0.25' }, 250],
    [{ 'retry-after': 'Sat, 01 Aug 2026 12:00:30 GMT' }, 30_000],
    [{ 'retry-after': 'Sat, 01 Aug 2026 11:00:00 GMT' }, 0],
    [{ 'retry-after-ms': '1500', 'retry-after': '9' }, 1_500],
    [{ 'retry-after-ms': 'soon', 'retry-after': '2' }, 2_000],
    [{ 'retry-after': 'soon' }, undefined],
    [{ 'retry-after': '-5' }, undefined],
    [{}, undefined],
  ])('reads %j as %s', (headers, ms) => {
    expect(retryAfterMs(new Headers(headers as Record<string, string>), now)).toBe(ms)
  })
})
