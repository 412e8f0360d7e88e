"""Work shared out among workers, here or on other computers: tasks, who does them, what is lost."""
