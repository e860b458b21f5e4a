<?php
// $body: the raw bytes as they came, before any parsing: file_get_contents('php://input').
// $signature: the value of the header: $_SERVER['HTTP_X_WEBHOOK_SIGNATURE'] ?? ''.
function verify(string $secret, string $body, string $signature): bool
{
    return hash_equals(hash_hmac('sha256', $body, $secret), $signature);
}
