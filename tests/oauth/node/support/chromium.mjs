// Debian's Chromium, and an app on the same machine that it comes back to.
import assert from 'node:assert/strict'
import http from 'node:http'
import * as client from 'openid-client'
import { chromium } from 'playwright-core'
import { facts } from './parts.mjs'

/** A phone of 360 CSS pixels whose browser runs no scripts. */
export const SMALL = { viewport: { width: 360, height: 640 }, isMobile: true, hasTouch: true, javaScriptEnabled: false }

/**
 * Opens a page, runs `visit`, and checks that the browser complained of what was `expected`, if something was, and at
 * most of what is `tolerated` besides, and that nothing secret stood in an address.
 */
export async function browse(visit, { expected, tolerated, ...options } = {}) {
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    // Containers have little shared memory, and root has no sandbox; the certificate is trusted by the NSS database in $HOME.
    args: ['--disable-dev-shm-usage', ...(process.getuid() === 0 ? ['--no-sandbox'] : [])],
  })
  try {
    const context = await browser.newContext({ locale: 'en', ...options })
    const page = await context.newPage()
    page.setDefaultTimeout(15_000)
    const complaints = []
    const addresses = []
    page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`))
    page.on('pageerror', (error) => complaints.push(String(error)))
    page.on('request', (request) => addresses.push(request.url(), request.headers().referer ?? ''))
    page.on('requestfailed', (request) => complaints.push(`${request.url()}: ${request.failure()?.errorText}`))
    await visit(page, context)
    const { entries } = await (await context.newCDPSession(page)).send('Page.getNavigationHistory')
    nothingSecretIn([...addresses, ...entries.map((entry) => entry.url)])
    const known = [expected, tolerated].filter(Boolean)
    assert.deepEqual(complaints.filter((complaint) => !known.some((one) => one.test(complaint))), [])
    if (expected) assert.ok(complaints.some((complaint) => expected.test(complaint)), `nobody complained: ${expected}`)
  } finally {
    await browser.close()
  }
}

/**
 * What a page's address, the history or a referrer may hold is what the client asked for, and no more; where an
 * outside provider sends people back to, what it answers.
 */
function nothingSecretIn(addresses) {
  const asked = new Set(['response_type', 'client_id', 'redirect_uri', 'scope', 'state', 'nonce', 'code_challenge',
    'code_challenge_method', 'response_mode', 'user_code', 'login_hint', 'ui_locales', 'prompt', 'max_age'])
  const answered = new Set(['code', 'state', 'iss', 'error', 'error_description'])
  for (const address of addresses.filter((address) => address.startsWith('http'))) {
    for (const { password } of facts.users) assert.ok(!decodeURIComponent(address).includes(password), address)
    const url = new URL(address)
    if (url.origin !== new URL(facts.issuer).origin) continue
    assert.equal(url.hash, '', address)
    const known = url.pathname === '/oauth/callback' ? answered : asked
    for (const name of url.searchParams.keys()) assert.ok(known.has(name), `${name} stands in ${address}`)
  }
}

/** An app that waits for its answer on a loopback port (RFC 8252 §7.3), and serves the `pages` of a stranger. */
export async function startApp(pages = {}) {
  const answers = []
  const server = http.createServer((request, response) => {
    const url = new URL(request.url, uri)
    response.setHeader('content-type', 'text/html')
    if (pages[url.pathname]) return response.end(`<!doctype html><title>Page</title>${pages[url.pathname]}`)
    if (url.pathname !== '/') return response.writeHead(204).end()
    let body = ''
    request.on('data', (chunk) => (body += chunk))
    request.on('end', () => {
      const referrer = request.headers.referer
      answers.push({ method: request.method, url, parameters: new URLSearchParams(body || url.search), referrer })
      response.end('<!doctype html><title>App</title><p>Back in the app.')
    })
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const uri = `http://127.0.0.1:${server.address().port}/`
  return { uri, answers }
}

export const MAIL = 'urn:ietf:params:oauth:scope:mail'

export const openClient = () => client.discovery(new URL(facts.issuer), facts.client_id, undefined, client.None())

/** A request of the app for a code, and how it turns the answer into tokens. */
export async function request(app, more = {}) {
  const config = await openClient()
  const [pkceCodeVerifier, expectedState] = [client.randomPKCECodeVerifier(), client.randomState()]
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: app.uri,
    scope: MAIL,
    state: expectedState,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...more,
  })
  const exchange = (parameters) =>
    client.authorizationCodeGrant(config, new URL(`${app.uri}?${parameters}`), { pkceCodeVerifier, expectedState })
  return { url: url.href, exchange, state: expectedState }
}

/** Fills in the sign-in page and sends it. */
export async function signIn(page, { login, password }) {
  await page.locator('input[name=login]').fill(login)
  await page.locator('input[name=password]').fill(password)
  await page.locator('button[type=submit]').click()
}

/** Answers the consent page. */
export const decide = (page, decision) => page.locator(`button[name=decision][value=${decision}]`).click()

/** Waits until the browser is back in the app; what the app was told. */
export async function backIn(app, page) {
  await page.waitForURL((url) => url.href.startsWith(app.uri))
  const { parameters, referrer } = app.answers.at(-1)
  assert.equal(referrer, undefined, 'the app must not learn the address of the page')
  assert.equal(parameters.get('iss'), facts.issuer)
  return parameters
}

/** Checks what a page with a form must say to the browser. */
export async function isProtected(answer) {
  const headers = await answer.allHeaders()
  assert.match(headers['content-security-policy'], /default-src 'none'/)
  assert.match(headers['content-security-policy'], /frame-ancestors 'none'/)
  assert.equal(headers['x-frame-options'], 'DENY')
  assert.equal(headers['referrer-policy'], 'no-referrer')
  assert.equal(headers['x-content-type-options'], 'nosniff')
  assert.equal(headers['access-control-allow-origin'], undefined)
}

/** Checks that nothing must be scrolled sideways, and that fingers can hit what is to be hit. */
export async function fits(page) {
  for (const summary of await page.locator('details > summary').all()) await summary.click()
  const session = await page.context().newCDPSession(page)
  const { cssContentSize } = await session.send('Page.getLayoutMetrics')
  await session.detach()
  assert.ok(cssContentSize.width <= SMALL.viewport.width, `${page.url()} is ${cssContentSize.width} pixels wide`)
  for (const target of await page.locator('button, .option, select, input:not([type=hidden], [type=radio], [type=checkbox], [hidden]), a.button').all()) {
    const box = await target.boundingBox()
    assert.ok(box.height >= 40 && box.x >= 0 && box.x + box.width <= SMALL.viewport.width, JSON.stringify(box))
  }
}
