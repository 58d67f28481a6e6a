-- The running balance as text, without what is reserved; nothing where there is no account.
--
-- KEYS  the account

collect(KEYS[1], now_ms())
return redis.call('HGET', KEYS[1], 'balance')
