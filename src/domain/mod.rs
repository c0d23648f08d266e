//! The words of the domain as types: phone numbers, ids, money, secrets, time. No I/O.
