//! The webhook: from Meta's POST to the company's log. Delivery to recruiters is in the module delivery.
