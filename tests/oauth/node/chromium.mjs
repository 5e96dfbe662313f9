import { facts, run } from './support/parts.mjs'
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

/** Opens a page, runs `visit`, and checks that the browser had nothing to complain about. */
async function browse(visit, options = {}) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Root has no sandbox; the certificate is trusted by the NSS database in $HOME.
    args: process.getuid() === 0 ? ['--no-sandbox'] : [],
  })
  try {
    const context = await browser.newContext(options)
    const page = await context.newPage()
    const complaints = []
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`))
    await visit(page, context)
    assert.deepEqual(complaints, [])
  } finally {
    await browser.close()
  }
}

await run({
  async front_page() {
    await browse(async (page) => {
      const answer = await page.goto(`${facts.issuer}/`)
      assert.equal(answer.status(), 200)
      assert.equal(await page.title(), facts.hostname)
      const headers = answer.headers()
      assert.match(headers['content-security-policy'], /default-src 'none'.*frame-ancestors 'none'/)
      assert.equal(headers['x-frame-options'], 'DENY')
      assert.equal(headers['referrer-policy'], 'no-referrer')
    })
  },
})
